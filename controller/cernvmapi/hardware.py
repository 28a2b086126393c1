"""Machines' virtual hardware beside their size: disks, interfaces, boot order, watchdog, TPM, firmware."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from cernvmapi.models.base import Received, Sent

Bus = Literal["virtio", "scsi", "sata"]
Cache = Literal["writeback", "none", "writethrough", "directsync"]
Card = Literal["virtio", "e1000e", "e1000", "rtl8139"]
WatchdogAction = Literal["reset", "poweroff", "pause", "none"]
Firmware = Literal["bios", "uefi"]
Target = Annotated[str, Meta(pattern=r"^(vd|sd|hd)[a-z]$")]
Mac = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]


class Disk(Sent, frozen=True, kw_only=True):
    """A disk of a machine."""

    target: str
    """By which it is known in the machine's definition (``vda``)."""
    what: str
    """``root``, ``home``, ``layer`` (the hub's software), ``seed`` (the context), or ``other``."""
    bus: str
    cache: str
    readonly: bool = False
    boot: int | None = None
    """Its place in the order in which the firmware tries to boot; None for never."""


class Interface(Sent, frozen=True, kw_only=True):
    """A network interface of a machine."""

    mac: str
    network: str | None = None
    model: str
    link: bool = True
    """Whether its cable is plugged in."""
    boot: int | None = None


class Hardware(Sent, frozen=True, kw_only=True):
    """What a machine is made of, from its next start on."""

    machine: str
    firmware: str
    disks: list[Disk]
    interfaces: list[Interface]
    watchdog: str | None
    """What happens when the guest does not answer it; None: it has none."""
    tpm: bool
    devices: list[str] = field(default_factory=list)
    """Of the host (PCI, USB), as the definition names them."""
    offered: list[str] = field(default_factory=list)
    """What its host has for it that not every host has: ``uefi``, ``tpm``."""
    pending: list[str] = field(default_factory=list)
    """What is different in what runs: ``disk vda``, ``watchdog``, …; empty while it is off."""


class DiskChange(Received, frozen=True, kw_only=True):
    """How a disk shall be attached; what is None stays."""

    target: Target
    bus: Bus | None = None
    cache: Cache | None = None


class InterfaceChange(Received, frozen=True, kw_only=True):
    """How an interface shall be; what is None stays."""

    mac: Mac
    model: Card | None = None
    link: bool | None = None
    """At once, where the machine runs."""


class HardwareChange(Received, frozen=True, kw_only=True):
    """What of a machine's hardware shall be otherwise; what is None stays."""

    disks: list[DiskChange] = field(default_factory=list)
    interfaces: list[InterfaceChange] = field(default_factory=list)
    boot: Annotated[list[str], Meta(max_length=16)] | None = None
    """Disks' targets and interfaces' MAC addresses, in the order in which the firmware tries them."""
    watchdog: WatchdogAction | None = None
    """``none`` takes the card out."""
    tpm: bool | None = None
    firmware: Firmware | None = None
