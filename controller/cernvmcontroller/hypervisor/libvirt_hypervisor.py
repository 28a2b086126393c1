"""The hypervisor interface on libvirt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmcontroller.hypervisor import bulkstats, capabilities, offers, probe, streams, survey
from cernvmcontroller.hypervisor.connection import Connection
from cernvmcontroller.hypervisor.display import Display
from cernvmcontroller.hypervisor.domains import Domains
from cernvmcontroller.hypervisor.domainsnapshots import DomainSnapshots
from cernvmcontroller.hypervisor.interface import (
    AGENT_CHANNEL,
    ByteStream,
    Callback,
    DomainState,
    HostCapabilities,
    PoolState,
    Progress,
    VolumeState,
)
from cernvmcontroller.hypervisor.livemigration import LiveMigration
from cernvmcontroller.hypervisor.network import Networks
from cernvmcontroller.hypervisor.runningdomains import RunningDomains
from cernvmcontroller.hypervisor.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cernvmcontroller.hypervisor.migration import Passage, Percent
    from cernvmcontroller.hypervisor.snapshots import SnapshotState
    from cernvmcontroller.hypervisor.specs import FilterSpec, Format, MachineMetadata, NetworkSpec, PoolSpec
    from cernvmcontroller.hypervisor.statistics import DomainStatistics


class LibvirtHypervisor:
    """A hypervisor behind a libvirt connection.

    Every verb is documented in `~cernvmcontroller.hypervisor.interface.Hypervisor`.

    Parameters
    ----------
    uri
        Of the connection.
    deadline
        Seconds that one libvirt call may take.
    connect_deadline
        Seconds that connecting may take.
    probe_patience
        Seconds that the acceleration probe waits for a kernel.
    """

    def __init__(
        self,
        uri: str,
        *,
        deadline: float = 30,
        connect_deadline: float = 10,
        probe_patience: float = 15,
    ) -> None:
        self._connection = Connection(uri, deadline=deadline, connect_deadline=connect_deadline)
        self._domains = Domains(self._connection)
        self._running = RunningDomains(self._connection)
        self._snapshots = DomainSnapshots(self._connection)
        self._migration = LiveMigration(self._connection)
        self._display = Display(self._connection)
        self._storage = Storage(self._connection)
        self._networks = Networks(self._connection)
        self._probe_patience = probe_patience

    @property
    def uri(self) -> str:
        """The connection URI."""
        return self._connection.uri

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._connection.alive

    @property
    def reason(self) -> str:
        """Why it is not alive."""
        return self._connection.reason

    @property
    def stuck(self) -> int:
        """How many calls passed their deadline and did not return yet."""
        return self._connection.stuck

    @property
    def breaker_open(self) -> bool:
        """Whether so many deadlines were missed in a row that nothing is asked until it answers again."""
        return self._connection.breaker_open

    async def open(self) -> None:
        """Connect."""
        await self._connection.open()

    async def close(self) -> None:
        """Disconnect for good."""
        await self._connection.close()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` with every event."""
        return self._connection.subscribe(callback)

    async def capabilities(self) -> HostCapabilities:
        """Return what the host is and can do."""
        return await self._connection.call(capabilities.read)

    async def survey(self) -> survey.Survey:
        """Return what there is on the host."""
        return await self._connection.call(survey.read)

    async def offers(self, kind: offers.DomainKind) -> offers.Offers:
        """Return what there is for domains of a kind."""
        return await self._connection.call(lambda connection: offers.read(connection, kind))

    async def probe_acceleration(self, image: Path | None, pool: str) -> str:
        """Return ``kvm`` if a kernel really runs under it, else ``qemu``."""
        announced = (await self.capabilities()).domain_types
        if image is None or "kvm" not in announced:
            return "qemu"
        runs = await probe.accelerates(
            self._connection, self._storage, image, pool, domain_type="kvm", patience=self._probe_patience
        )
        return "kvm" if runs else "qemu"

    # domains

    async def domains(self) -> list[DomainState]:
        """Return all domains."""
        return await self._domains.all()

    async def domain(self, uuid: str) -> DomainState | None:
        """Return one domain, or None."""
        return await self._domains.one(uuid)

    async def domain_xml(self, uuid: str, *, defined: bool = False) -> str:
        """Return a domain's XML, of what runs or of its definition."""
        return await self._domains.xml(uuid, defined=defined)

    async def define(self, xml: str) -> None:
        """Define, or define anew."""
        await self._domains.define(xml)

    async def describe(self, uuid: str, metadata: MachineMetadata) -> None:
        """Write its metadata anew."""
        await self._domains.describe(uuid, metadata)

    async def start(self, uuid: str) -> None:
        """Start."""
        await self._domains.start(uuid)

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to shut down."""
        await self._domains.shutdown(uuid)

    async def suspend(self, uuid: str) -> None:
        """Let it stand still."""
        await self._running.suspend(uuid)

    async def resume(self, uuid: str) -> None:
        """Let it go on."""
        await self._running.resume(uuid)

    async def reset(self, uuid: str) -> None:
        """Press its reset button."""
        await self._running.reset(uuid)

    async def update_device(self, uuid: str, xml: str) -> None:
        """Change a device of what runs."""
        await self._running.update_device(uuid, xml)

    async def store(self, uuid: str) -> None:
        """Write its memory to the host's disk and switch it off."""
        await self._running.store(uuid)

    async def discard(self, uuid: str) -> None:
        """Throw away what was stored."""
        await self._running.discard(uuid)

    async def destroy(self, uuid: str) -> None:
        """Pull the plug."""
        await self._domains.destroy(uuid)

    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot."""
        await self._domains.reboot(uuid)

    async def undefine(self, uuid: str) -> None:
        """Remove the definition."""
        await self._domains.undefine(uuid)

    async def statistics(self) -> list[DomainStatistics]:
        """Return the counters of all domains that run."""
        return await bulkstats.read(self._connection)

    # snapshots

    async def snapshots(self, uuid: str) -> list[SnapshotState]:
        """Return a domain's snapshots."""
        return await self._snapshots.all(uuid)

    async def take_snapshot(self, uuid: str, name: str, description: str = "") -> None:
        """Keep what it is now."""
        await self._snapshots.take(uuid, name, description)

    async def revert(self, uuid: str, name: str) -> None:
        """Bring it back to what it was."""
        await self._snapshots.revert(uuid, name)

    async def delete_snapshot(self, uuid: str, name: str) -> None:
        """Forget a snapshot."""
        await self._snapshots.delete(uuid, name)

    # from one hypervisor to another

    @property
    def peer(self) -> object:
        """What verbs of another one take for this one."""
        return self._connection

    async def migrate(
        self, uuid: str, peer: object, passage: Passage, progress: Percent | None = None
    ) -> None:
        """Move a running domain."""
        await self._migration.migrate(uuid, peer, passage, progress)

    async def abort_migration(self, uuid: str) -> None:
        """Break off what moves a domain."""
        await self._migration.abort(uuid)

    async def copy_volume(
        self,
        pool: str,
        name: str,
        peer: object,
        to_pool: str,
        *,
        backing: str | None = None,
        progress: Percent | None = None,
    ) -> VolumeState:
        """Copy a volume into a pool of another one."""
        return await self._storage.copy_volume(pool, name, peer, to_pool, backing=backing, progress=progress)

    # storage

    async def ensure_pool(self, spec: PoolSpec) -> PoolState:
        """Make a pool exist and be active."""
        return await self._storage.ensure_pool(spec)

    async def pool(self, name: str) -> PoolState:
        """Return a pool's sizes."""
        return await self._storage.pool(name)

    async def remove_pool(self, name: str) -> None:
        """Remove a pool."""
        await self._storage.remove_pool(name)

    async def volumes(self, pool: str) -> list[VolumeState]:
        """Return the finished volumes."""
        return await self._storage.volumes(pool)

    async def unfinished(self, pool: str) -> list[str]:
        """Return the names of unfinished volumes."""
        return await self._storage.unfinished(pool)

    async def volume(self, pool: str, name: str) -> VolumeState | None:
        """Return one finished volume, or None."""
        return await self._storage.volume(pool, name)

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
        """Create an empty volume or an overlay."""
        return await self._storage.create_volume(
            pool,
            name,
            capacity=capacity,
            image_format=format,
            backing=backing,
            backing_format=backing_format,
        )

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path | bytes,
        *,
        format: Format,  # noqa: A002
        progress: Progress | None = None,
    ) -> VolumeState:
        """Bring bytes into a pool."""
        return await self._storage.upload_volume(pool, name, source, image_format=format, progress=progress)

    async def read_volume(self, pool: str, name: str, limit: int) -> bytes:
        """Return the first bytes of a volume."""
        return await self._storage.read_volume(pool, name, limit)

    async def delete_volume(self, pool: str, name: str) -> None:
        """Delete a volume."""
        await self._storage.delete_volume(pool, name)

    # networks

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """Make a network exist and be active."""
        await self._networks.ensure_network(spec)

    async def remove_network(self, name: str) -> None:
        """Remove a network."""
        await self._networks.remove_network(name)

    async def ensure_filter(self, spec: FilterSpec) -> None:
        """Make a filter be as described."""
        await self._networks.ensure_filter(spec)

    async def remove_filter(self, name: str) -> None:
        """Remove a filter."""
        await self._networks.remove_filter(name)

    # streams

    async def open_channel(self, uuid: str, name: str = AGENT_CHANNEL) -> ByteStream:
        """Open a virtio-serial port."""
        return await streams.open_channel(self._connection, uuid, name)

    async def open_console(self, uuid: str) -> ByteStream:
        """Open the serial console."""
        return await streams.open_console(self._connection, uuid)

    # screens

    @property
    def graphics_refusal(self) -> str:
        """Why VNC servers cannot be reached."""
        return self._display.graphics_refusal

    async def open_graphics(self, uuid: str) -> ByteStream:
        """Connect to a VNC server."""
        return await self._display.open_graphics(uuid)

    async def screenshot(self, uuid: str) -> bytes:
        """Return what is on the screen, as PNG."""
        return await self._display.screenshot(uuid)

    async def send_keys(self, uuid: str, chords: Sequence[tuple[int, ...]]) -> None:
        """Press keys."""
        await self._display.send_keys(uuid, chords)
