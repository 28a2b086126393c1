"""A hypervisor in memory with the error semantics of libvirt's QEMU driver, for tests.

It passes the same contract test as the real one, and does what the real one cannot be told to do: fail on
demand, hang, lose its connection, crash a guest, play the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cernvmapi.errors import HostUnreachable, HypervisorFailed, NotFound
from cernvmapi.models import Power
from cernvmcontroller.hypervisor.fakefaults import verb
from cernvmcontroller.hypervisor.fakehost import ANNOUNCED, FakeDomain, FakeHost, FakePool, FakeVolume
from cernvmcontroller.hypervisor.fakemigration import FakeMigration
from cernvmcontroller.hypervisor.fakerunning import FakeRunning
from cernvmcontroller.hypervisor.fakescreens import FakeScreens
from cernvmcontroller.hypervisor.fakesnapshots import FakeSnapshots
from cernvmcontroller.hypervisor.fakestream import MemoryStream
from cernvmcontroller.hypervisor.interface import (
    AGENT_CHANNEL,
    ByteStream,
    Callback,
    ConnectionEvent,
    DomainEvent,
    DomainEventKind,
    DomainState,
    HostCapabilities,
    HypervisorEvent,
    PoolState,
    Progress,
    VolumeState,
    WrongState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cernvmcontroller.hypervisor.offers import DomainKind, Offers
    from cernvmcontroller.hypervisor.specs import FilterSpec, Format, MachineMetadata, NetworkSpec, PoolSpec
    from cernvmcontroller.hypervisor.statistics import DomainStatistics
    from cernvmcontroller.hypervisor.survey import Survey

OnChannel = Callable[[str, str, ByteStream], Awaitable[None]]
"""Plays the guest's end of a channel: called with the domain's UUID, the channel's name and a stream."""

_KEPT = 4 * 1024 * 1024


class FakeHypervisor(FakeMigration, FakeRunning, FakeScreens, FakeSnapshots):
    """A hypervisor in memory.

    Parameters
    ----------
    uri
        What it says its URI is.
    host
        What it connects to; share one between two of these to play a controller that restarts.
    deadline
        Seconds after which a verb that hangs is given up.
    acceleration
        What the probe finds.
    """

    def __init__(
        self,
        uri: str = "fake:///system",
        *,
        host: FakeHost | None = None,
        deadline: float = 30,
        acceleration: str = "qemu",
        capabilities: HostCapabilities | None = None,
    ) -> None:
        super().__init__(uri, deadline)
        self.host = host or FakeHost()
        self.acceleration = acceleration
        self.announced = capabilities or ANNOUNCED
        self.stuck = 0
        self.breaker_open = False
        self.on_channel: OnChannel | None = None
        self.reachable = True
        self._subscribers: list[Callback] = []

    # --- what happens to a host and its guests, for tests ---

    def disconnect(self, reason: str = "the host went away") -> None:
        """Lose the connection; machines go on."""
        self.reachable = False
        self._lost_connection(reason)

    def reconnect(self) -> None:
        """Get the connection back."""
        self.reachable = True
        self.alive, self.reason = True, ""
        self._emit(ConnectionEvent(alive=True))

    def crash(self, uuid: str) -> None:
        """Let a guest crash."""
        self._stop(self.host.domain(uuid), "crashed", DomainEventKind.CRASHED)

    def power_off(self, uuid: str) -> None:
        """Let a guest shut itself down."""
        self._stop(self.host.domain(uuid), "shutdown", DomainEventKind.STOPPED)

    def pause(self, uuid: str, reason: str = "ioerror") -> None:
        """Let a domain be paused, as QEMU does when its disk is full."""
        domain = self.host.domain(uuid)
        domain.power, domain.reason = Power.PAUSED, reason
        self._emit(DomainEvent(uuid, DomainEventKind.PAUSED))

    # --- connection ---

    async def open(self) -> None:
        """Connect."""
        await self._before("open", connected=False)
        if not self.reachable:
            self.reason = "the host does not answer"
            raise HostUnreachable(f"{self.uri} does not answer.")
        self.alive, self.reason = True, ""
        self._emit(ConnectionEvent(alive=True))

    async def close(self) -> None:
        """Disconnect for good."""
        self.alive, self.reason = False, "closed"
        self._shut(list(self._streams))
        for task in self._agents:
            task.cancel()
        await asyncio.gather(*self._agents, return_exceptions=True)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` with every event; return what ends that."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    @verb
    async def capabilities(self) -> HostCapabilities:
        """Return what was announced."""
        return self.announced

    @verb
    async def survey(self) -> Survey:
        """Return what there is on the host."""
        return self.host.survey()

    @verb
    async def offers(self, kind: DomainKind) -> Offers:
        """Return what there is for domains of a kind."""
        del kind
        return self.host.offers

    @verb
    async def probe_acceleration(self, image: Path | None, pool: str) -> str:  # noqa: ARG002
        """Return what the test said."""
        return self.acceleration

    # --- domains ---

    @verb
    async def domains(self) -> list[DomainState]:
        """Return all domains."""
        return [domain.state() for domain in self.host.domains.values()]

    @verb
    async def domain(self, uuid: str) -> DomainState | None:
        """Return one domain, or None."""
        known = self.host.domains.get(uuid)
        return known.state() if known else None

    @verb
    async def domain_xml(self, uuid: str, *, defined: bool = False) -> str:
        """Return its XML."""
        known = self.host.domain(uuid)
        return known.xml if defined or known.power is Power.OFF else known.runs or known.xml

    @verb
    async def define(self, xml: str) -> None:
        """Define, or define anew."""
        self._emit(DomainEvent(self.host.define(xml).uuid, DomainEventKind.DEFINED))

    @verb
    async def describe(self, uuid: str, metadata: MachineMetadata) -> None:
        """Write its metadata anew."""
        self.host.domain(uuid).describe(metadata)

    @verb
    async def start(self, uuid: str) -> None:
        """Start."""
        domain = self.host.domain(uuid)
        if domain.power is Power.ON:
            return
        if domain.power is Power.PAUSED:
            raise WrongState("Requested operation is not valid: domain is already running")
        self.host.check_startable(domain)
        self.host.boot(domain)
        self._emit(DomainEvent(uuid, DomainEventKind.STARTED))

    @verb
    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to shut down; it does, a little later, if it obeys."""
        domain = self.host.domain(uuid)
        if domain.power is not Power.ON:
            raise WrongState("Requested operation is not valid: domain is not running")
        if domain.obeys:
            asyncio.get_running_loop().call_soon(self._obey, domain)

    @verb
    async def destroy(self, uuid: str) -> None:
        """Pull the plug."""
        domain = self.host.domains.get(uuid)
        if domain is not None:
            self._stop(domain, "destroyed", DomainEventKind.STOPPED)

    @verb
    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot; its streams stay open, as they do under QEMU."""
        domain = self.host.domain(uuid)
        if domain.power is Power.OFF:
            raise WrongState("Requested operation is not valid: domain is not running")
        self._emit(DomainEvent(uuid, DomainEventKind.REBOOTED))

    @verb
    async def undefine(self, uuid: str) -> None:
        """Remove the definition."""
        domain = self.host.domains.get(uuid)
        if domain is None:
            return
        if domain.power is not Power.OFF:
            raise WrongState("Requested operation is not valid: the domain runs; power it off first")
        del self.host.domains[uuid]
        self._emit(DomainEvent(uuid, DomainEventKind.UNDEFINED))

    @verb
    async def statistics(self) -> list[DomainStatistics]:
        """Return the counters of what runs."""
        return [each.statistics() for each in self.host.domains.values() if each.power is not Power.OFF]

    # --- storage ---

    @verb
    async def ensure_pool(self, spec: PoolSpec) -> PoolState:
        """Make the pool exist."""
        pool = self.host.pools.setdefault(spec.name, FakePool(spec.name, spec.path))
        return PoolState(pool.name, pool.capacity, pool.available)

    @verb
    async def pool(self, name: str) -> PoolState:
        """Return a pool's sizes."""
        pool = self.host.pool(name)
        return PoolState(pool.name, pool.capacity, pool.available)

    @verb
    async def remove_pool(self, name: str) -> None:
        """Forget a pool."""
        self.host.pools.pop(name, None)

    @verb
    async def volumes(self, pool: str) -> list[VolumeState]:
        """Return the finished volumes."""
        return [volume.state() for volume in self.host.pool(pool).volumes.values() if volume.complete]

    @verb
    async def unfinished(self, pool: str) -> list[str]:
        """Return the names of unfinished volumes."""
        return sorted(each.name for each in self.host.pool(pool).volumes.values() if not each.complete)

    @verb
    async def volume(self, pool: str, name: str) -> VolumeState | None:
        """Return one finished volume, or None."""
        found = self.host.pool(pool).volumes.get(name)
        return found.state() if found is not None and found.complete else None

    @verb
    async def create_volume(
        self,
        pool: str,
        name: str,
        *,
        capacity: int,
        format: Format = "qcow2",  # noqa: A002, ARG002
        backing: VolumeState | None = None,
        backing_format: Format = "qcow2",  # noqa: ARG002
    ) -> VolumeState:
        """Create an empty volume or an overlay."""
        store = self.host.pool(pool)
        if name not in store.volumes:
            if backing is not None and backing.path not in self.host.files():
                raise HypervisorFailed(f"Cannot access backing store '{backing.path}'")
            store.volumes[name] = FakeVolume(
                name, f"{store.path}/{name}", capacity, 196_608, backing=backing.path if backing else None
            )
        return store.volumes[name].state()

    @verb
    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path | bytes,
        *,
        format: Format,  # noqa: A002
        progress: Progress | None = None,
    ) -> VolumeState:
        """Bring bytes into the pool, in steps, so that it can be interrupted."""
        store = self.host.pool(pool)
        known = store.volumes.get(name)
        if known is not None and known.complete:
            return known.state()
        if isinstance(source, Path):
            with source.open("rb") as file:
                data = file.read(_KEPT)
            size = source.stat().st_size  # noqa: ASYNC240
        else:
            data, size = source, len(source)
        capacity = int.from_bytes(data[24:32]) if format == "qcow2" and data[:4] == b"QFI\xfb" else size
        volume = FakeVolume(name, f"{store.path}/{name}", capacity, 0, data, complete=False)
        store.volumes[name] = volume
        for done in sorted({size // 2, size}):
            await asyncio.sleep(0)
            if not self.alive:
                raise HostUnreachable(f"{self.uri} went away during an upload.")
            volume.allocation = done
            if progress is not None:
                progress(done)
        volume.complete = True
        return volume.state()

    @verb
    async def read_volume(self, pool: str, name: str, limit: int) -> bytes:
        """Return the first bytes of a volume."""
        try:
            return self.host.pool(pool).volumes[name].data[:limit]
        except KeyError:
            raise NotFound(f"Storage volume not found: no volume '{name}'") from None

    @verb
    async def delete_volume(self, pool: str, name: str) -> None:
        """Delete a volume."""
        store = self.host.pools.get(pool)
        if store is not None:
            store.volumes.pop(name, None)

    # --- networks ---

    @verb
    async def ensure_network(self, spec: NetworkSpec) -> None:
        """Make the network exist."""
        self.host.networks[spec.name] = spec

    @verb
    async def remove_network(self, name: str) -> None:
        """Forget a network."""
        self.host.networks.pop(name, None)

    @verb
    async def ensure_filter(self, spec: FilterSpec) -> None:
        """Make the filter exist."""
        self.host.filters[spec.name] = spec

    @verb
    async def remove_filter(self, name: str) -> None:
        """Forget a filter, unless a domain refers to it."""
        if any(
            name in domain.sources()["filter"]
            for domain in self.host.domains.values()
            if domain.power != "off"
        ):
            raise WrongState(f"Requested operation is not valid: filter '{name}' is in use")
        self.host.filters.pop(name, None)

    # --- streams ---

    @verb
    async def open_channel(self, uuid: str, name: str = AGENT_CHANNEL) -> ByteStream:
        """Open a channel; `on_channel` plays the guest."""
        ours, theirs = self._open(uuid, name)
        if self.on_channel is not None:
            task = asyncio.ensure_future(self._play(self.on_channel, uuid, name, theirs))
            self._agents.add(task)
            task.add_done_callback(self._agents.discard)
        return ours

    @verb
    async def open_console(self, uuid: str) -> ByteStream:
        """Open the console; it says what the host's `consoles` holds."""
        ours, theirs = self._open(uuid, "console")
        await theirs.write(self.host.consoles.get(uuid, b""))
        return ours

    # --- inner ---

    async def _play(self, agent: OnChannel, uuid: str, name: str, stream: MemoryStream) -> None:
        try:
            await agent(uuid, name, stream)
        except ConnectionError:
            return  # the controller hung up; a real agent lives with that too

    def _open(self, uuid: str, name: str) -> tuple[MemoryStream, MemoryStream]:
        if self.host.domain(uuid).power is Power.OFF:
            raise WrongState("Requested operation is not valid: domain is not running")
        self._shut([(uuid, name)])
        ours, theirs = MemoryStream.pair()
        self._streams[uuid, name] = ours
        return ours, theirs

    def _shut(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            stream = self._streams.pop(key, None)
            if stream is not None:
                stream.shut()

    def _obey(self, domain: FakeDomain) -> None:
        self._stop(domain, "shutdown", DomainEventKind.STOPPED)

    def _stop(self, domain: FakeDomain, reason: str, kind: DomainEventKind) -> None:
        if domain.power is Power.OFF:
            return
        domain.power, domain.reason = Power.OFF, reason
        self._shut([key for key in self._streams if key[0] == domain.uuid])
        self._emit(DomainEvent(domain.uuid, kind))

    def _lost_connection(self, reason: str) -> None:
        self.alive, self.reason = False, reason
        self._shut(list(self._streams))
        self._emit(ConnectionEvent(alive=False, reason=reason))

    def _emit(self, event: HypervisorEvent) -> None:
        if isinstance(event, DomainEvent) and not self.alive:
            return  # nobody is connected to hear it
        loop = asyncio.get_running_loop()
        for callback in list(self._subscribers):
            loop.call_soon(callback, event)
