"""RSS 2.0, with vmcast's habits, and Atom, by feedparser; our own namespace says what RSS cannot.

vmcast (Enomaly and JumpBox, 2007) announces a virtual machine as an item with an ``enclosure`` and a ``uuid``
that RSS does not know. The namespace is described in ``docs/reference/feeds.md``.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import feedparser

from cernvmapi.errors import SourceFailed
from cernvmapi.models import Enclosure, Entry, FeedKind
from cernvmcontroller.catalogue.readers.dates import instant
from cernvmcontroller.catalogue.readers.document import Document, count
from cernvmcontroller.catalogue.readers.links import link
from cernvmcontroller.catalogue.readers.text import line, plain, word

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "urn:cernvmhub:feed"

_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_FORBIDDEN = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_ALGORITHMS = {"sha256": 64, "sha512": 128}
"""Checksums, with how many hexadecimal digits each has."""
_FIRMWARE = frozenset({"bios", "uefi"})
_SLUG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"\(v?(\d[\w.+~-]{0,40})\)")
_ARCH = re.compile(r"\b(x86_64|amd64|aarch64|arm64|i[3-6]86|x86|ppc64le|s390x|riscv64)\b")


def read(text: str, url: str) -> Document:
    """Read an RSS or Atom document.

    Raises
    ------
    SourceFailed
        It declares a document type or entities, or is neither RSS nor Atom.
    """
    if _FORBIDDEN.search(text):
        raise SourceFailed(
            "The feed declares a document type or entities (DOCTYPE, ENTITY), which no feed needs and which "
            "can be used for attacks; ask its publisher to leave them out."
        )
    # Declared is what the text was encoded in before; now it is UTF-8. A stream: feedparser takes a text for
    # the name of a file or a URL that it shall open.
    content = _DECLARATION.sub("", text, count=1).encode("utf-8", "replace")
    headers = {"content-type": "application/xml; charset=utf-8"}
    parsed = feedparser.parse(
        io.BytesIO(content), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
    )
    if not parsed.version:
        raise SourceFailed("This is XML, but neither RSS nor Atom; look whether the URL is the feed's own.")
    prefix = next((name for name, uri in parsed.namespaces.items() if uri == NAMESPACE), None)
    return Document(
        kind=FeedKind.ATOM if parsed.version.startswith("atom") else FeedKind.RSS,
        title=line(parsed.feed.get("title")),
        description=plain(parsed.feed.get("description") or parsed.feed.get("subtitle"), 2000),
        expires=instant(_own(parsed.feed, prefix)("expires")),
        entries=[_entry(each, url, prefix, number) for number, each in enumerate(parsed.entries)],
    )


def _own(element: Any, prefix: str | None) -> Callable[[str], str]:
    """Return what looks up an element of our namespace; feedparser writes it as prefix and name."""

    def text(name: str) -> str:
        return word(element.get(f"{prefix}_{name}".lower())) if prefix else ""

    return text


def _entry(item: Any, url: str, prefix: str | None, number: int) -> Entry:
    own = _own(item, prefix)
    title = line(item.get("title"))
    # Looked for with `in`: feedparser answers for the one with the other, and warns.
    updated = word(item.get("updated" if "updated" in item else "published"))
    enclosures = _enclosures(item, url, own)
    guid = word(item.get("id")) or word(item.get("uuid"))
    tags = item.get("tags") or [{}]
    version, arch = _VERSION.search(title), _ARCH.search(title)
    return Entry(
        guid=guid or (enclosures[0].url[:255] if enclosures else "") or title or f"item {number}",
        title=title or "(no title)",
        description=plain(item.get("summary")),
        category=line(tags[0].get("term"), 64),
        updated=instant(updated),
        updated_text=updated,
        link=link(url, item.get("link")),
        enclosures=enclosures,
        appliance=_SLUG.fullmatch(own("appliance")) and own("appliance"),
        version=own("version") or (version[1] if version else ""),
        arch=(own("arch") or (arch[1] if arch else ""))[:32],
        os=own("os"),
        virtual_size_mib=count(own("virtualsize"), 2**40),
        min_memory_mib=count(own("minmemory"), 2**30),
        min_vcpus=count(own("minvcpus"), 4096),
        signature_url=link(url, own("signature")),
        checksum_url=link(url, own("checksum")),
        expires=instant(own("expires")),
        licence=own("licence") or line(item.get("rights")),
        context=[each[:32] for each in own("context").split()[:8]],
        firmware=own("firmware") if own("firmware") in _FIRMWARE else None,
    )


def _enclosures(item: Any, url: str, own: Callable[[str], str]) -> list[Enclosure]:
    """Return what can be downloaded; the checksums of our namespace are the first one's."""
    checksums = {
        name: own(name).lower()
        for name, digits in _ALGORITHMS.items()
        if re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", own(name))
    }
    found: list[Enclosure] = []
    for given in item.get("links") or ():
        address = link(url, given.get("href")) if given.get("rel") == "enclosure" else None
        if address is not None and len(found) < 16:  # noqa: PLR2004 - more is no list for people
            length, kind = count(given.get("length")), word(given.get("type"), 128)
            found.append(
                Enclosure(url=address, length=length, type=kind, checksums={} if found else checksums)
            )
    return found
