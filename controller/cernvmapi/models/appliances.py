"""What machines are made of: appliances, and the sizes they come in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, field

from cernvmapi.models.base import Name, Received, Sent, Slug
from cernvmapi.models.feeds import Url  # noqa: TC001 - msgspec reads the annotations at run time


class Hardware(Sent, frozen=True, kw_only=True):
    """What an appliance needs of the virtual hardware."""

    arch: str = "x86_64"
    firmware: str = "bios"
    """``bios`` or ``uefi``."""
    machine_type: str = "q35"
    disk_bus: str = "virtio"
    """``virtio``, ``scsi`` or ``sata``."""
    seed_bus: str = "scsi"
    """Bus of the context's CD-ROM."""
    nic_model: str = "virtio"


class Origin(Sent, frozen=True, kw_only=True):
    """Where an appliance was downloaded from."""

    url: str
    feed: str | None = None
    """Id of the feed that offered it."""
    entry: str | None = None
    """Id of what that feed offered."""
    sha256: str
    """Of the file as it was offered; `Appliance.sha256` is of the image that was made of it."""
    verified: bool
    """It is what its publisher, or who asked for it, said by a checksum; else somebody took the risk."""
    at: datetime


class Appliance(Sent, frozen=True, kw_only=True):
    """A disk image with what is known about it."""

    id: str
    title: str
    version: str
    description: str = ""
    logo: str | None = None
    """A ``data:`` URL."""
    arch: str = "x86_64"
    sha256: str
    size: int
    """Bytes of the image file."""
    virtual_size_mib: int
    min_memory_mib: int = 256
    min_vcpus: int = 1
    context: list[str] = field(default_factory=lambda: ["nocloud"])
    """Dialects that it understands: ``nocloud``, ``configdrive``."""
    agent_protocol: int | None = None
    """Protocol version of the agent inside; None without our agent."""
    notebook: bool = True
    """It can serve a notebook."""
    hardware: Hardware = field(default_factory=Hardware)
    default: bool = False
    hidden: bool = False
    origin: Origin | None = None
    """None: the site's own."""
    updated: datetime


class ApplianceCreate(Received, frozen=True, kw_only=True):
    """What to download: an entry of the catalogue, or a URL."""

    entry: Slug | None = None
    url: Url | None = None
    id: Slug | None = None
    """None: made of what it is called, and its version."""
    title: Name | None = None
    """None: as its feed says."""
    version: Annotated[str, Meta(max_length=255)] | None = None
    """None: as its feed says."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Of the file, for what comes from a URL; for an entry its feed says it."""
    sha512: Annotated[str, Meta(pattern="^[0-9a-f]{128}$")] | None = None
    allow_http: bool = False
    """For what comes from a URL: consent to what travels unencrypted; its feed has its own."""
    unverified: bool = False
    """Consent to an image of which nobody can say whether it is what its publisher made."""


class Flavor(Sent, frozen=True, kw_only=True):
    """A size."""

    id: str
    title: str
    vcpus: int
    memory_mib: int
    disk_mib: int
    description: str = ""
    default: bool = False
