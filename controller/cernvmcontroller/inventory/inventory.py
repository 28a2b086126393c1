"""The hosts of the hub: attached from the configuration, watched, and told of in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from cernvmapi.clusters import DEFAULT_CLUSTER
from cernvmapi.errors import CernVMError, HostUnreachable, Invalid, NotFound
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.interface import Hypervisor
from cernvmcontroller.hypervisor.measured import measured
from cernvmcontroller.inventory import register
from cernvmcontroller.inventory.hostlink import HostLink
from cernvmcontroller.placement import Candidate
from cernvmcontroller.store import Actor, Store, clusters, volumes
from cernvmcontroller.store import inventory as rows
from cernvmcontroller.store.tables import HostRow, MetaRow, PoolRow
from cernvmcontroller.telemetry.measures import Measures, Unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmapi.hosts import HostAttach
    from cernvmapi.models import Flavor, Host, Network, Pool
    from cernvmcontroller.inventory.hostspec import HostSpec

_log = structlog.get_logger(__name__)
_MIB = 1024 * 1024
_PATIENCE = 20.0
"""Seconds that a request waits for a controller that was just started to know its hosts."""

Opener = Callable[[str], Hypervisor]
HostHook = Callable[[HostLink], Awaitable[None]]


class Inventory:
    """The hosts, and what is on them.

    Parameters
    ----------
    store
        Where they are listed.
    specs
        The configured hosts; those attached through the API are in the store.
    opener
        Returns the hypervisor of a connection URI.
    flavors
        By id, in the site's order.
    probe_image
        A tiny guest with a 64-bit kernel: how it is found out whether KVM really runs machines.
    slots
        How many machines may be made on a host at the same time.
    measures
        Is told of every call to a host.
    attached
        Returns what a host is that is attached through the API; None: none are.
    """

    def __init__(
        self,
        store: Store,
        specs: Sequence[HostSpec],
        opener: Opener,
        *,
        flavors: Mapping[str, Flavor],
        probe_image: Path | None = None,
        slots: int = 8,
        measures: Measures | None = None,
        attached: Callable[[HostAttach], HostSpec] | None = None,
    ) -> None:
        self._store = store
        self.specs = {spec.name: spec for spec in specs}
        """All hosts that can be connected to, by name."""
        self.configured = tuple(self.specs)
        """Names of those that come from the configuration."""
        self._opener = opener
        self._attached = attached
        self._flavors = flavors
        self._probe_image = probe_image
        self._slots = slots
        self._measures = measures or Unmeasured()
        self.links: dict[str, HostLink] = {}
        self._looked: set[str] = set()
        self._settled = asyncio.Event()

    async def start(self, *, came: HostHook, went: HostHook, happened: Callable[[str], None]) -> None:
        """Write down which hosts there are and attach them in the background.

        Parameters
        ----------
        came, went, happened
            See `HostLink.attach`; called after the database says so too.
        """
        async with self._store.write(Actor.system(), "inventory.load", "hosts", audit=False) as tx:
            unusable: dict[str, str] = {}
            for row in await rows.hosts(tx.session):
                if row.attached is not None and row.id not in self.configured:
                    try:
                        self.specs[row.id] = self.spec(row.attached)
                    except CernVMError as error:
                        unusable[row.id] = error.detail
            await register.load(tx, self.specs, unusable, self.configured)

        async def host_came(link: HostLink) -> None:
            await self._alive(link)
            await came(link)
            self._look(link)

        async def host_went(link: HostLink) -> None:
            await self._unknown(link)
            await went(link)
            self._look(link)

        self._hooks = host_came, host_went, happened
        if not self.specs:
            self._settled.set()
        for spec in list(self.specs.values()):
            self.join(spec)

    def spec(self, request: HostAttach) -> HostSpec:
        """Return what a host that is attached through the API is; `Invalid` where it cannot be."""
        if self._attached is None:
            raise Invalid("This controller takes its hosts from its configuration only.")
        return self._attached(request)

    def join(self, spec: HostSpec) -> HostLink:
        """Connect to a host in the background; one of that name must be gone."""
        came, went, happened = self._hooks
        self.specs[spec.name] = spec
        link = self.links[spec.name] = HostLink(spec, self._opened(spec), self._slots)
        link.attach(came=came, went=went, happened=happened)
        return link

    def part(self, host_id: str) -> HostLink | None:
        """Take a host out; who has its link closes it."""
        self.specs.pop(host_id, None)
        self._looked.discard(host_id)
        return self.links.pop(host_id, None)

    def open(self, uri: str) -> Hypervisor:
        """Return a hypervisor that is not kept, not connected yet."""
        return self._opener(uri)

    def _opened(self, spec: HostSpec) -> Hypervisor:
        return measured(self._opener(spec.uri), spec.name, self._measures)

    async def close(self) -> None:
        """Disconnect from all hosts; machines go on."""
        await asyncio.gather(*(link.close() for link in self.links.values()))

    async def settled(self, seconds: float = _PATIENCE) -> None:
        """Wait until every host was tried once, at most so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            return

    def link(self, host_id: str | None) -> HostLink:
        """Return a host that answers.

        Raises
        ------
        HostUnreachable
            It does not answer now, or is not configured any more.
        """
        link = self.links.get(host_id or "")
        if link is None:
            raise HostUnreachable(f"The host {host_id} is not configured any more; ask an administrator.")
        if not link.alive:
            raise HostUnreachable(f"The host {host_id} does not answer: {link.reason}")
        return link

    def of_pool(self, pool: str) -> HostLink:
        """Return a host that reaches a storage pool; `HostUnreachable` where none does now."""
        for link in self.links.values():
            if link.spec.pool.name == pool and link.alive:
                return link
        raise HostUnreachable(f"No host with the storage pool {pool} answers; try again when one is back.")

    def reaches(self, pool: str) -> bool:
        """Return whether a host that reaches a storage pool answers."""
        return any(link.spec.pool.name == pool and link.alive for link in self.links.values())

    def alive(self, host_id: str | None) -> bool:
        """Return whether a host answers."""
        link = self.links.get(host_id or "")
        return link is not None and link.alive

    # --- what the API lists ---

    async def hosts(self) -> list[Host]:
        """Return the hosts, by name."""
        async with self._store.read() as session:
            return await rows.host_models(session)

    async def host(self, host_id: str) -> Host:
        """Return one host; its id is its name."""
        async with self._store.read() as session:
            return await rows.host_model(session, host_id)

    async def networks(self) -> list[Network]:
        """Return the networks."""
        async with self._store.read() as session:
            return await rows.network_models(session)

    async def pools(self) -> list[Pool]:
        """Return the storage pools."""
        async with self._store.read() as session:
            return await rows.pool_models(session)

    async def flavors(self) -> list[Flavor]:
        """Return the sizes, in the site's order."""
        return list(self._flavors.values())

    def flavor(self, flavor_id: str | None) -> Flavor:
        """Return the flavor that was asked for, the default one for None."""
        if flavor_id is None:
            return next(flavor for flavor in self._flavors.values() if flavor.default)
        try:
            return self._flavors[flavor_id]
        except KeyError:
            raise NotFound(f"There is no flavor {flavor_id}; there are {', '.join(self._flavors)}.") from None

    # --- what placement sees ---

    async def candidates(self, session: AsyncSession, reserved_memory_mib: int) -> list[Candidate]:
        """Return the hosts as placement sees them, within a transaction.

        The number of queries does not grow with the number of hosts: nobody else writes meanwhile.
        """
        promises = await rows.promised(session)
        networks = {row.id: row for row in await rows.networks(session)}
        pools = {row.id: row for row in await rows.pools(session)}
        hosts = {row.id: row for row in await rows.hosts(session)}
        members = await clusters.of_hosts(session)
        taken, bases = await rows.addresses_used(session), await volumes.bases(session)
        found = []
        for link in self.links.values():
            row, pool = hosts.get(link.id), pools.get(link.spec.pool.name)
            if row is None or pool is None:
                continue  # it is being detached, or no machines are made on it
            network = networks.get(link.spec.network.name) if link.spec.networked else None
            promise = promises.get(link.id, rows.Promise())
            found.append(
                Candidate(
                    id=link.id,
                    name=row.name,
                    level=row.level,
                    alive=link.alive,
                    maintenance=row.maintenance,
                    arch=row.arch,
                    vcpus=row.cpus,
                    memory_mib=max(0, row.memory_mib - reserved_memory_mib),
                    vcpus_promised=promise.vcpus,
                    memory_promised_mib=promise.memory_mib,
                    machines=promise.machines,
                    disk_free_mib=pool.available_mib if pool.capacity_mib else None,
                    addresses_free=network.addresses - taken.get(network.id, 0) if network else None,
                    acceleration=link.known_acceleration(),
                    clusters=members.get(link.id, frozenset()) | {DEFAULT_CLUSTER},
                    labels=row.labels,
                    cpu_features=frozenset(row.cpu_features),
                    reached=row.reached,
                    network=network.id if network else None,
                    bases=_digests(bases.get(pool.id, ())),
                )
            )
        return found

    async def measure(self, link: HostLink) -> None:
        """Write down how much room a host's pool has now, where it has one of ours."""
        if not link.spec.provisions:
            return
        state = await link.hypervisor.pool(link.spec.pool.name)
        async with self._store.write(Actor.system(), "pool.measure", "pools", audit=False) as tx:
            if await tx.session.get(PoolRow, link.spec.pool.name) is None:
                return  # its host was detached meanwhile
            await rows.put_pool(
                tx,
                PoolRow(
                    id=link.spec.pool.name,
                    capacity_mib=state.capacity // _MIB,
                    available_mib=state.available // _MIB,
                    alive=True,
                ),
                self._pool_hosts(link),
            )

    # --- hosts that come and go ---

    def _look(self, link: HostLink) -> None:
        if self.links.get(link.id) is link:
            self._looked.add(link.id)
        if self._looked >= set(self.links):
            self._settled.set()

    def _pool_hosts(self, link: HostLink) -> list[str]:
        pool = link.spec.pool.name
        return [spec.name for spec in self.specs.values() if spec.provisions and spec.pool.name == pool]

    async def _alive(self, link: HostLink) -> None:
        seen = link.capabilities
        if seen is None:
            return
        key = f"acceleration {seen.host_uuid} {seen.hypervisor_version}"
        async with self._store.read() as session:
            remembered = await session.get(MetaRow, key)
        if link.spec.acceleration != "auto":
            link.settle_acceleration(link.spec.acceleration)
        elif "kvm" not in seen.domain_types:
            link.settle_acceleration("qemu")
        elif remembered is not None:
            link.settle_acceleration(remembered.value)
        async with self._store.write(Actor.system(), "host.came", f"host/{link.id}", audit=False) as tx:
            await register.answers(tx, link)
        await self.measure(link)
        _log.info("host answers", host=link.id, acceleration=link.known_acceleration())
        if link.known_acceleration() is None and not link.spec.provisions:
            link.settle_acceleration("qemu")
        elif link.known_acceleration() is None:

            async def remember(found: str, proven: bool) -> None:
                async with self._store.write(
                    Actor.system(), "host.probed", f"host/{link.id}", audit=False
                ) as tx:
                    if proven:
                        await tx.session.merge(MetaRow(key=key, value=found))
                    if await tx.session.get(HostRow, link.id) is not None:
                        await rows.put_host(tx, HostRow(id=link.id, acceleration=found))

            link.probe(self._probe_image, remember)

    async def _unknown(self, link: HostLink) -> None:
        async with self._store.write(Actor.system(), "host.went", f"host/{link.id}", audit=False) as tx:
            await register.silent(tx, link)
            others = self._pool_hosts(link)
            if not any(self.alive(name) for name in others):
                await register.pool_silent(tx, link.spec.pool.name, others)
        _log.warning("host does not answer", host=link.id, reason=link.reason)


def _digests(bases: Iterable[str]) -> frozenset[str]:
    names = (naming.parse_volume(name) for name in bases)
    return frozenset(name.id for name in names if name is not None)
