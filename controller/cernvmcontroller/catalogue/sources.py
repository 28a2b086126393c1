"""Where feeds come from: those of the configuration, and those that come with the hub."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cernvmapi.errors import Invalid, SourceFailed
from cernvmapi.models import Name, Seconds, Slug, Url  # noqa: TC001 - read at run time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILTIN = "builtin:"
DEFAULT_FEEDS: list[dict[str, Any]] = [
    {"id": "cernvm", "title": "CernVM releases", "url": f"{BUILTIN}cernvm", "interval": 86400}
]
_BUILTIN_FILES = {"cernvm": "cernvm.rss"}


class FeedSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A feed of the configuration."""

    id: Slug
    url: Url
    title: Name
    interval: Seconds = 3600
    allow_http: bool = False
    authority_file: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    """File with the certificates (PEM) of who may sign it."""


def load_feeds(entries: Sequence[Mapping[str, Any]]) -> list[FeedSpec]:
    """Return the configured feeds.

    Raises
    ------
    Invalid
        An entry is no feed, or an id is there twice.
    """
    feeds: dict[str, FeedSpec] = {}
    for entry in entries:
        given = dict(entry)
        given.setdefault("title", given.get("id"))
        try:
            feed = msgspec.convert(given, FeedSpec)
        except msgspec.ValidationError as error:
            raise Invalid(f"The feed {given.get('id', '?')} is not valid: {error}") from None
        if feed.id in feeds:
            raise Invalid(f"There are two feeds with the id {feed.id}; give each its own.")
        if feed.url.startswith(BUILTIN):
            builtin(feed.url)
        feeds[feed.id] = feed
    return list(feeds.values())


def builtin(url: str) -> bytes:
    """Return the content of a feed that comes with the hub.

    Raises
    ------
    Invalid
        There is none of this name.
    """
    name = _BUILTIN_FILES.get(url.removeprefix(BUILTIN))
    if name is None:
        known = ", ".join(f"{BUILTIN}{each}" for each in _BUILTIN_FILES)
        raise Invalid(f"There is no feed {url}; with the hub comes {known}.")
    return resources.files(__package__).joinpath(name).read_bytes()


def certificates(pem: str) -> str | None:
    """Return the certificates of a PEM text and nothing else of it, such as keys; None for an empty text.

    Raises
    ------
    Invalid
        There is none in it.
    """
    if not pem.strip():
        return None
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise Invalid("The authority has no certificates in PEM form; give at least one.") from None
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def authority_of(spec: FeedSpec) -> str | None:
    """Return the certificates of a configured feed's authority.

    Raises
    ------
    Invalid
        Its file cannot be read, or has none.
    """
    if spec.authority_file is None:
        return None
    try:
        with open(spec.authority_file, encoding="utf-8") as file:  # noqa: PTH123 - a path as configured
            pem = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"The authority of the feed {spec.id} cannot be read: {error}") from None
    found = certificates(pem)
    if found is None:
        raise Invalid(f"The file {spec.authority_file} has no certificates; the feed {spec.id} needs one.")
    return found


def refused(error: SourceFailed) -> Invalid:
    """Return the error of who asks for a feed at a URL that may not be fetched."""
    return Invalid(error.detail)
