"""What placement knows of a host and of the machine that it places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cernvmapi.models import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS = (Level.OBSERVE, Level.CONTROL, Level.PROVISION, Level.NOTEBOOK)


def includes(level: Level, needed: Level) -> bool:
    """Return whether a hypervisor of `level` may be used for what needs `needed`."""
    return _LEVELS.index(level) >= _LEVELS.index(needed)


@dataclass(frozen=True)
class Overcommit:
    """How much more than a host has may be promised; the defaults are OpenStack Nova's."""

    vcpus: float = 4.0
    memory: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """A host as placement sees it."""

    id: str
    name: str
    level: Level
    alive: bool
    arch: str
    vcpus: int
    memory_mib: int
    """What it has, less what the host keeps for itself."""
    vcpus_promised: int = 0
    memory_promised_mib: int = 0
    disk_free_mib: int | None = None
    """Of its pool; None where the pool does not say."""
    addresses_free: int | None = 0
    """Of its network; None where it has none."""
    acceleration: str | None = None
    """None before it was probed."""
    maintenance: bool = False
    clusters: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    cpu_features: frozenset[str] = frozenset()
    """In libvirt's names; empty where libvirt does not say."""
    reached: bool = True
    """The hub reaches its machines over their network."""
    network: str | None = None
    """Name of the machines' network; None where it has none."""
    bases: frozenset[str] = frozenset()
    """Digests of the appliances whose base its pool already holds."""
    machines: int = 0


@dataclass(frozen=True)
class Wish:
    """What a machine needs of its host."""

    vcpus: int
    memory_mib: int
    disk_mib: int
    arch: str = "x86_64"
    """Of the appliance."""
    host_arch: str | None = None
    """Of the host, where one was asked for."""
    cpu_features: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the host must be labelled with."""
    notebook: bool = False
    base: str = ""
    """Digest of the appliance."""
    host: str | None = None
    """Id or name of the host that was asked for."""
    cluster: str | None = None
    away_from: frozenset[str] = frozenset()
    """Ids of the hosts that have a machine of its group already, of which each shall have one only."""
    home_hosts: frozenset[str] | None = None
    """Ids of the hosts that reach the home volume; None where there is none yet."""
    brings_mib: int = 0
    """Of a home that is copied to the host's pool, where it does not reach the pool that has it."""
    keeps_address: bool = False
    """The machine holds an address already."""
    leaves: str | None = None
    """Id of the host that it is on, where it shall go to another one."""
    network: str | None = None
    """Name of the network in which its address is; None where it has none yet."""
    acceleration: str | None = None
    """How it runs, where it shall not stop; None where it starts anew."""
    overcommit: Overcommit = field(default_factory=Overcommit)
