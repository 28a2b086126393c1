"""What machines are made of: appliances, and the sizes they come in."""

from __future__ import annotations

from datetime import datetime

from msgspec import field

from cernvmapi.models.base import Sent


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
    updated: datetime


class Flavor(Sent, frozen=True, kw_only=True):
    """A size."""

    id: str
    title: str
    vcpus: int
    memory_mib: int
    disk_mib: int
    description: str = ""
    default: bool = False
