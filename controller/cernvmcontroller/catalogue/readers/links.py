"""Links that a feed gives: only such as may be followed or shown."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

LONGEST = 2048


def link(base: str, value: object) -> str | None:
    """Return the absolute URL that a feed at `base` means; None for one that is not of the web.

    No other scheme than http and https (``javascript:``, ``file:`` …), no credentials, no spaces or control
    characters, and a host. Whether the host may be asked is decided when it is: `cernvmcontroller.fetch`.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not text or len(text) > LONGEST or any(ord(each) <= 0x20 or ord(each) == 0x7F for each in text):  # noqa: PLR2004 - space, DEL
        return None
    if "\\" in text or not text.isprintable():
        return None
    try:
        url = urljoin(base, text)
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or "@" in parts.netloc:
        return None
    return url if len(url) <= LONGEST else None
