"""Feeds, and the catalogue of what they offer."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from cernvmapi.models.base import Name, Received, Sent, Slug

Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Seconds = Annotated[int, Meta(ge=300, le=30 * 24 * 3600)]
Certificates = Annotated[str, Meta(max_length=262_144)]


class FeedKind(StrEnum):
    """The formats that are read; a feed's own is found out from what it sends."""

    RSS = "rss"
    ATOM = "atom"
    HEPIX = "hepix"
    """HEPiX image list: JSON, usually signed with S/MIME."""
    SIMPLESTREAMS = "simplestreams"
    VIRT_BUILDER = "virt-builder"


class Feed(Sent, frozen=True, kw_only=True):
    """A document somewhere that announces appliances, and how reading it went."""

    id: str
    title: str
    url: str
    """``builtin:…`` for a feed that comes with the hub."""
    configured: bool = False
    """It is in the controller's configuration, which is where it is changed."""
    enabled: bool = True
    """It is read on its schedule; what it offered before stays listed."""
    interval: int
    """Seconds between two readings on the schedule, give or take a tenth."""
    allow_http: bool = False
    """It may be fetched, and redirected, without encryption."""
    signed: bool = False
    """Its signature is checked against an authority that the site gave; unsigned content is refused."""
    kind: FeedKind | None = None
    """None before it was read."""
    description: str = ""
    """What it says of itself."""
    entries: int = 0
    signer: str | None = None
    """Who signed what is listed now, where that was checked."""
    expires: datetime | None = None
    """When the feed itself says that it is out of date."""
    checked: datetime | None = None
    """When it last answered well, be it that nothing had changed."""
    updated: datetime | None = None
    """When its content last changed."""
    failing_since: datetime | None = None
    """Since when it cannot be read; what was read before is still listed."""
    error: str = ""
    """Why, in a sentence."""
    next_check: datetime | None = None
    created: datetime


class FeedCreate(Received, frozen=True, kw_only=True):
    """A feed to add."""

    url: Url
    id: Slug | None = None
    """None: a random one."""
    title: Name | None = None
    """None: the host's name."""
    interval: Seconds = 3600
    allow_http: bool = False
    """Consent to what travels unencrypted: whoever is on the way can change it."""
    authority: Certificates | None = None
    """Certificates (PEM) of who may sign it; with them, unsigned content is refused."""
    enabled: bool = True


class FeedUpdate(Received, frozen=True, kw_only=True):
    """What to change of a feed; what is left out stays."""

    url: Url | None = None
    title: Name | None = None
    interval: Seconds | None = None
    allow_http: bool | None = None
    authority: Certificates | None = None
    """Empty: its signature is not checked any more."""
    enabled: bool | None = None


class Enclosure(Sent, frozen=True, kw_only=True):
    """A file that an entry offers."""

    url: str
    length: int | None = None
    """Bytes, as the feed says; None where it says nothing, or nothing that can be."""
    type: str = ""
    """MIME type, as the feed says."""
    checksums: dict[str, str] = field(default_factory=dict)
    """By algorithm: ``sha256``, ``sha512``, … in hexadecimal."""


class Entry(Sent, frozen=True, kw_only=True):
    """An appliance as a feed announces it. Nothing of it is checked but its form; texts are plain text."""

    guid: str
    """What the feed knows it by."""
    title: str
    description: str = ""
    category: str = ""
    """Its type, as the feed groups its entries."""
    updated: datetime | None = None
    """The last update; None where the feed's date cannot be understood."""
    updated_text: str = ""
    """The same, as the feed writes it."""
    link: str | None = None
    """A page about it."""
    enclosures: list[Enclosure] = field(default_factory=list)
    """Empty where the feed offers nothing to download, or only what may not be."""
    appliance: str | None = None
    """Id of the appliance that it is a version of, where the feed knows."""
    version: str = ""
    arch: str = ""
    os: str = ""
    virtual_size_mib: int | None = None
    min_memory_mib: int | None = None
    min_vcpus: int | None = None
    signature_url: str | None = None
    """Where a detached signature of the first enclosure is."""
    checksum_url: str | None = None
    """Where the checksum of the first enclosure is, when the feed has not got it itself."""
    expires: datetime | None = None
    licence: str = ""
    context: list[str] = field(default_factory=list)
    """Dialects of context that it understands."""
    firmware: str | None = None
    """``bios`` or ``uefi``."""


class CatalogueEntry(Entry, frozen=True, kw_only=True):
    """An entry of the catalogue: what its feed says, compared with what is here."""

    id: str
    """The same as long as the feed knows it by the same guid."""
    feed: str
    feed_title: str
    size: int | None = None
    """Bytes of the first enclosure."""
    downloaded: str | None = None
    """Id of the appliance in the repository that has this very image, by its SHA-256."""
    newer: bool = False
    """The repository has the same appliance, and only in older versions."""
    expired: bool = False
    verified: bool = False
    """It comes from a feed whose signature was checked against the site's authority."""
