"""What the controller knows of a hypervisor: verbs, records and events; nothing of libvirt.

What is asked of it is in `~cernvmcontroller.hypervisor.specs`.

Two things speak it: `~cernvmcontroller.hypervisor.libvirt_hypervisor.LibvirtHypervisor` and, for tests,
`~cernvmcontroller.hypervisor.fake.FakeHypervisor`. The same contract test holds both.

Every verb is idempotent where that makes sense: a reconciler that repeats a step after a crash must not fail
because the step was done. Every verb may raise `~cernvmapi.errors.HostUnreachable` (no connection, a deadline
passed) and `~cernvmapi.errors.HypervisorFailed` (with libvirt's words), and those that name something
`~cernvmapi.errors.NotFound`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cernvmapi.errors import HypervisorFailed
from cernvmcontroller.hypervisor.lifecycle import Lifecycle
from cernvmcontroller.hypervisor.migration import Migration
from cernvmcontroller.hypervisor.screens import Screens
from cernvmcontroller.hypervisor.snapshots import Snapshots
from cernvmcontroller.hypervisor.survey import Surveyed

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.models import Power
    from cernvmcontroller.hypervisor.specs import FilterSpec, Format, MachineMetadata, NetworkSpec, PoolSpec
    from cernvmcontroller.hypervisor.statistics import DomainStatistics

AGENT_CHANNEL = "org.cernvmhub.agent.0"
"""The virtio-serial port of our own agent."""

GUEST_AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""The virtio-serial port of QEMU's guest agent, for appliances without ours."""


class WrongState(HypervisorFailed):
    """The domain is in a state that does not allow the verb."""


# --- what is seen ---


@dataclass(frozen=True)
class HostCapabilities:
    """What a host is and can do."""

    host_uuid: str
    hostname: str
    arch: str
    cpu_model: str
    cpus: int
    memory_mib: int
    libvirt_version: str
    hypervisor_version: str
    domain_types: frozenset[str]
    """As announced (``kvm``, ``qemu``); whether KVM really runs a guest is what the probe finds out."""
    cpu_features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DomainState:
    """A domain as libvirt sees it."""

    uuid: str
    name: str
    power: Power
    reason: str
    """Why it is in this state, in libvirt's word: ``booted``, ``destroyed``, ``crashed``, ``ioerror``, …"""
    metadata: MachineMetadata | None = None
    """None for a domain that no hub made."""


@dataclass(frozen=True)
class PoolState:
    """A storage pool; sizes in bytes."""

    name: str
    capacity: int
    available: int


@dataclass(frozen=True)
class VolumeState:
    """A volume; sizes in bytes."""

    name: str
    capacity: int
    allocation: int
    path: str
    backing: str | None = None
    """Path of the image that it is an overlay of; None where it is none."""


# --- what happens ---


class DomainEventKind(StrEnum):
    """What happened to a domain."""

    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"
    PAUSED = "paused"
    RESUMED = "resumed"
    DEFINED = "defined"
    UNDEFINED = "undefined"
    REBOOTED = "rebooted"


@dataclass(frozen=True)
class DomainEvent:
    """Something happened to a domain. A hint to look again, not a record: events may be lost."""

    uuid: str
    kind: DomainEventKind


@dataclass(frozen=True)
class ConnectionEvent:
    """The connection came or went; after it came, everything must be looked at again."""

    alive: bool
    reason: str = ""


HypervisorEvent = DomainEvent | ConnectionEvent
Callback = Callable[[HypervisorEvent], None]
Progress = Callable[[int], None]
"""Called with the bytes done so far."""


class ByteStream(Protocol):
    """Two-way bytes to a port of a running domain."""

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` when the other end is gone."""
        ...

    async def write(self, data: bytes) -> None:
        """Write all of `data`; raises `ConnectionError` when the other end is gone."""
        ...

    async def close(self) -> None:
        """Close; a waiting `read` returns ``b""``."""
        ...


class Hypervisor(Lifecycle, Migration, Screens, Snapshots, Surveyed, Protocol):
    """A connection to one hypervisor."""

    @property
    def uri(self) -> str:
        """The connection URI."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not alive; empty while it is."""
        ...

    @property
    def stuck(self) -> int:
        """How many calls passed their deadline and did not return yet."""
        ...

    @property
    def breaker_open(self) -> bool:
        """Whether so many deadlines were missed in a row that nothing is asked until it answers again."""
        ...

    async def open(self) -> None:
        """Connect; from then on a lost connection is re-made in the background.

        Raises
        ------
        HostUnreachable
            It does not answer. The background attempts go on all the same.
        """
        ...

    async def close(self) -> None:
        """Disconnect for good."""
        ...

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` in the event loop with every event; return what ends that."""
        ...

    async def capabilities(self) -> HostCapabilities:
        """Return what the host is and can do."""
        ...

    async def probe_acceleration(self, image: Path | None, pool: str) -> str:
        """Really boot a small guest under KVM and return ``kvm`` if its kernel speaks, else ``qemu``.

        Parameters
        ----------
        image
            A qcow2 image with a 64-bit kernel that writes to the serial console. Without one there is no
            proof, and the answer is ``qemu``.
        pool
            Where it is put for the probe.
        """
        ...

    # domains

    async def domains(self) -> list[DomainState]:
        """Return all domains of the hypervisor, also those that no hub made."""
        ...

    async def domain(self, uuid: str) -> DomainState | None:
        """Return one domain, or None when there is no such."""
        ...

    async def domain_xml(self, uuid: str, *, defined: bool = False) -> str:
        """Return the domain's XML as it is now; with `defined`, as it is started next."""
        ...

    async def define(self, xml: str) -> None:
        """Define a domain, or define it anew; libvirt checks the XML against its schema."""
        ...

    async def describe(self, uuid: str, metadata: MachineMetadata) -> None:
        """Write a domain's metadata anew, whether it runs or not."""
        ...

    async def start(self, uuid: str) -> None:
        """Start it; no error when it runs already."""
        ...

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to shut down (it may take its time, or not obey). `WrongState` unless it runs."""
        ...

    async def destroy(self, uuid: str) -> None:
        """Pull the plug; no error when it is off or gone."""
        ...

    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot. `WrongState` when it is off."""
        ...

    async def undefine(self, uuid: str) -> None:
        """Remove the definition with all that libvirt keeps for it; no error when it is gone.

        `WrongState` while it runs.
        """
        ...

    async def statistics(self) -> list[DomainStatistics]:
        """Return the counters of all domains that run, from one call."""

    # storage

    async def ensure_pool(self, spec: PoolSpec) -> PoolState:
        """Make the pool exist and be active, also after a restart of the host."""
        ...

    async def pool(self, name: str) -> PoolState:
        """Return a pool's sizes."""
        ...

    async def remove_pool(self, name: str) -> None:
        """Stop and undefine a pool and remove its directory if it is empty; no error when it is gone."""
        ...

    async def volumes(self, pool: str) -> list[VolumeState]:
        """Return the finished volumes of a pool."""
        ...

    async def unfinished(self, pool: str) -> list[str]:
        """Return the names of the volumes whose upload is under way, or was never finished."""
        ...

    async def volume(self, pool: str, name: str) -> VolumeState | None:
        """Return one volume, or None when there is no such or its upload was never finished."""
        ...

    async def create_volume(
        self,
        pool: str,
        name: str,
        *,
        capacity: int,
        format: Format = "qcow2",  # noqa: A002 - libvirt's word
        backing: VolumeState | None = None,
        backing_format: Format = "qcow2",
    ) -> VolumeState:
        """Create an empty volume, or an overlay of `backing`; one that exists is returned as it is.

        Parameters
        ----------
        capacity
            Bytes.
        """
        ...

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path | bytes,
        *,
        format: Format,  # noqa: A002
        progress: Progress | None = None,
    ) -> VolumeState:
        """Bring a file or bytes into a pool; one that was finished before is returned at once.

        An interrupted upload is never taken for a finished one: it is begun again. `progress` is called in
        the event loop.
        """
        ...

    async def read_volume(self, pool: str, name: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a small volume (a sidecar)."""
        ...

    async def delete_volume(self, pool: str, name: str) -> None:
        """Delete a volume; no error when it is gone."""
        ...

    # networks

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """Make the network exist and be active. It is only re-made when it differs and nothing uses it."""
        ...

    async def remove_network(self, name: str) -> None:
        """Stop and undefine a network; no error when it is gone."""
        ...

    async def ensure_filter(self, spec: FilterSpec) -> None:
        """Make the network filter be as described; running machines get the change at once."""
        ...

    async def remove_filter(self, name: str) -> None:
        """Undefine a filter; no error when it is gone."""
        ...

    # streams

    async def open_channel(self, uuid: str, name: str = AGENT_CHANNEL) -> ByteStream:
        """Open a virtio-serial port of a running domain; a second open takes it from the first."""
        ...

    async def open_console(self, uuid: str) -> ByteStream:
        """Open the serial console of a running domain; a second open takes it from the first."""
        ...
