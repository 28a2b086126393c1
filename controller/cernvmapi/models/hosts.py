"""What machines run on: hosts, networks, pools."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import field

from cernvmapi.models.base import Sent


class Level(StrEnum):
    """What a hypervisor may be used for, each including the ones before it."""

    OBSERVE = "observe"
    CONTROL = "control"
    PROVISION = "provision"
    NOTEBOOK = "notebook"


class Host(Sent, frozen=True, kw_only=True):
    """A node that runs machines."""

    id: str
    name: str
    uris: list[str]
    """Its hypervisors' connection URIs, without credentials."""
    level: Level
    alive: bool
    unknown_since: datetime | None = None
    reason: str = ""
    """Why it is not alive, or not at a higher level."""
    maintenance: bool = False
    arch: str = ""
    cpu_model: str = ""
    cpus: int = 0
    memory_mib: int = 0
    vcpus_promised: int = 0
    memory_promised_mib: int = 0
    machines: int = 0
    acceleration: str | None = None
    """``kvm`` or ``qemu``; None before it was probed."""
    libvirt_version: str = ""
    hypervisor_version: str = ""
    cpu_features: list[str] = field(default_factory=list)
    """Of its processors, in libvirt's names."""
    reached: bool = True
    """The hub reaches its machines over their network: only then they serve notebooks."""
    labels: dict[str, str] = field(default_factory=dict)
    notes: str = ""
    address: str = ""
    """Where people reach it for a console or SSH."""
    source: str = "configuration"
    """Who says how it is reached: ``configuration``, or ``api`` where it was attached."""


class Network(Sent, frozen=True, kw_only=True):
    """Where machines get addresses."""

    id: str
    name: str
    hosts: list[str]
    cidr: str
    gateway: str
    bridge: str = ""
    addresses: int
    """How many machines it can hold."""
    used: int
    reaches_hub: bool = True


class Pool(Sent, frozen=True, kw_only=True):
    """A libvirt storage pool."""

    id: str
    name: str
    hosts: list[str]
    shared: bool
    capacity_mib: int = 0
    available_mib: int = 0
    alive: bool = True
