"""The engine: everything that is behind the API, put together, started and ended."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select

from cernvmapi.errors import CernVMError, StoreUnavailable
from cernvmapi.models import AuditRecord, ComponentHealth, Health, OperationStatus, Page
from cernvmcontroller.catalogue.catalogue import Catalogue
from cernvmcontroller.catalogue.feeds import Feeds
from cernvmcontroller.consoles.serial import Consoles
from cernvmcontroller.definitions.definitions import Definitions
from cernvmcontroller.definitions.fitting import Fitting
from cernvmcontroller.fetch import Fetcher, Policy
from cernvmcontroller.guests.agentlink import AgentLinks
from cernvmcontroller.guests.sessions import Sessions
from cernvmcontroller.inventory.clusters import Clusters
from cernvmcontroller.inventory.hosts import Hosts
from cernvmcontroller.machines import momentary, sidecars
from cernvmcontroller.machines.ledger import Ledger
from cernvmcontroller.machines.lifecycle import Lifecycle
from cernvmcontroller.machines.operations import Cancel, Operations
from cernvmcontroller.machines.reconciler import Reconciler
from cernvmcontroller.machines.screens import Screens
from cernvmcontroller.machines.service import Machines
from cernvmcontroller.machines.sidecars import Sidecars
from cernvmcontroller.machines.snapshots import Snapshots
from cernvmcontroller.machines.strangers import Strangers
from cernvmcontroller.machines.uploads import Uploads
from cernvmcontroller.machines.volumes import DELETION, Volumes
from cernvmcontroller.machines.worker import UNDER_WAY, Worker
from cernvmcontroller.machines.workshop import Workshop
from cernvmcontroller.metering import Meter, UsageHistory
from cernvmcontroller.moving.drain import ACTION as DRAIN
from cernvmcontroller.moving.drain import Drains
from cernvmcontroller.moving.evacuation import Evacuation
from cernvmcontroller.moving.move import ACTION as MOVE
from cernvmcontroller.moving.move import Mover
from cernvmcontroller.moving.moves import Moves
from cernvmcontroller.repository.downloads import ACTION as DOWNLOAD
from cernvmcontroller.repository.downloads import Downloads
from cernvmcontroller.store import Actor, Store, audit, machines, operations
from cernvmcontroller.store.tables import MachineRow
from cernvmcontroller.tasks import end
from cernvmcontroller.telemetry import figures, health
from cernvmcontroller.telemetry.chronicle import Chronicle
from cernvmcontroller.telemetry.measures import Measures, Unmeasured
from cernvmcontroller.upkeep.census import Census
from cernvmcontroller.upkeep.rebuild import rebuild
from cernvmcontroller.upkeep.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from cernvmcontroller.events import EventLog
    from cernvmcontroller.inventory import HostLink, Inventory
    from cernvmcontroller.machines.settings import Settings
    from cernvmcontroller.repository import Repository
    from cernvmcontroller.telemetry.figures import Figures

_log = structlog.get_logger(__name__)
_PRUNE_EVERY = 3600.0
_CHECK_AGAIN = 5.0
_ROUNDS_MISSED = 3
_SLOWEST_ROUND = 300.0
"""Seconds that a round over all hosts may take where some of them answer slowly."""
_AT_ONCE, _BREATH = 25, 0.1
"""Machines that are looked at together, and the seconds before the next ones: 10,000 take forty."""


class Audit:
    """The record of who did what."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[AuditRecord]:
        """Return one page, the newest first."""
        wanted = audit.AuditQuery(actor=actor, action=action, subject=subject, limit=limit, cursor=cursor)
        async with self._store.read() as session:
            found = await audit.page(session, wanted)
        return Page(
            items=[audit.to_model(row) for row in found.rows],
            total=found.total,
            next=found.next,
            event_id=found.event_id,
        )


class Engine:
    """All that is behind the API.

    Parameters
    ----------
    hub_id
        Of this installation.
    store
        Open; who opened it closes it.
    inventory, repository
        Not started yet.
    settings
        What the site turned.
    feeds
        Not started yet; None for none of the configuration, and none from inside of the site.
    downloads
        Not started yet; None for none from inside of the site.
    measures
        Is told how the work goes.
    """

    def __init__(
        self,
        hub_id: str,
        store: Store,
        inventory: Inventory,
        repository: Repository,
        settings: Settings,
        *,
        feeds: Feeds | None = None,
        downloads: Downloads | None = None,
        measures: Measures | None = None,
    ) -> None:
        self.hub_id = hub_id
        self.store = store
        self.inventory = inventory
        self.repository = repository
        self.feeds = feeds or Feeds(store, _nowhere())
        self.catalogue = Catalogue(store)
        self.sessions = Sessions()
        self.consoles = Consoles()
        self.links = AgentLinks(settings.retry)
        self._settings = settings
        self._uploads = Uploads(store)
        self.sidecars = Sidecars(store, inventory, hub_id)
        self._shop = Workshop(
            hub_id=hub_id,
            settings=settings,
            ledger=Ledger(store),
            inventory=inventory,
            repository=repository,
            uploads=self._uploads,
            consoles=self.consoles,
            links=self.links,
            sessions=self.sessions,
            sidecars=self.sidecars,
            strangers=Strangers(hub_id),
            poke=self._poke,
        )
        self.reconciler = Reconciler(Worker(self._shop, Mover()), settings.retry)
        self.machines = Machines(store, self._shop, self.reconciler.interrupt)
        self.lifecycle = Lifecycle(store, self.machines, self.reconciler.interrupt)
        self.snapshots = Snapshots(store, self._shop, self.reconciler.interrupt)
        self.definitions = Definitions(store, self._shop, settings.xml_experts)
        self.fitting = Fitting(store, self._shop, self.definitions)
        self.moves = Moves(store, self._shop, self.reconciler.interrupt)
        self.evacuation = Evacuation(store, self._shop, settings.fence_command)
        self.screens = Screens(store, self._shop)
        self.downloads = downloads or Downloads(store, _nowhere(), repository)
        cancels: dict[str, Cancel] = {
            "machine.start": self.machines.cancel_start,
            MOVE: self.moves.cancel,
            DOWNLOAD: self.downloads.cancel,
        }
        self.operations = Operations(store, cancels)
        self.drains = Drains(store, inventory, self.moves, self.operations)
        cancels[DRAIN] = self.drains.cancel
        self.volumes = Volumes(store, inventory, self.sidecars)
        self.audit = Audit(store)
        self.meter = Meter(store, inventory, per_machine=settings.metrics_per_machine)
        self.usage = UsageHistory(store)
        self.hosts = Hosts(store, inventory, hub_id)
        self.clusters = Clusters(store)
        self.census = Census(store, inventory.configured)
        self._uuids: dict[str, str] = {}
        self._rounds = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        measures = measures or Unmeasured()
        store.turn.measures = measures
        self._chronicle = Chronicle(measures)
        self._conditions = health.Conditions()
        self._store_check = health.StoreCheck(store)
        self._lag = health.LoopLag()
        self._certificates = health.Certificates(settings.certificates)
        self._pulse = health.Pulse(_ROUNDS_MISSED * settings.poll_interval + _SLOWEST_ROUND)

    @property
    def events(self) -> EventLog:
        """The event log."""
        return self.store.events

    async def start(self) -> None:
        """Find again what runs, go on with what was begun, and look at everything now and then."""
        self._tasks.add(asyncio.create_task(self._chronicle.run(self.events), name="chronicle"))
        await self.repository.load()
        await self._close_orphans()
        await self.feeds.start()
        await self.downloads.start()
        await self.census.load()
        await self.inventory.start(came=self._came, went=self._went, happened=self._happened)
        async with self.store.read() as session:
            unplaced = await machines.unplaced(session)
        for machine in unplaced:
            self.reconciler.poke(machine)
        await self.drains.start()
        self._tasks |= {
            asyncio.create_task(self._poll(), name="poll"),
            asyncio.create_task(self._lag.run(), name="loop lag"),
            asyncio.create_task(self._prune(), name="prune"),
            asyncio.create_task(self._check(), name="check the store"),
        }
        if self._settings.metering:
            self._tasks.add(asyncio.create_task(self.meter.run(), name="meter"))

    async def close(self) -> None:
        """End; machines keep running and are found again."""
        await end(self._tasks)
        await self.feeds.close()
        await self.downloads.close()
        await self.drains.close()
        await self.reconciler.close()
        await self._uploads.close()
        await self.links.close()
        await self.consoles.close()
        await self.inventory.close()

    async def machines_known(self) -> None:
        """Return when the database knows all machines that there are; wait for that at most a moment.

        Raises
        ------
        Busy
            It is new, and a host has not told of its machines yet.
        """
        if self.census.missing:
            await self.inventory.settled()
        self.census.check()

    async def figures(self) -> Figures:
        """Say how things stand, in numbers."""
        return await figures.read(
            self.store, self.inventory, self.reconciler, self.meter, loop_lag=self._lag.worst
        )

    async def health(self) -> Health:
        """Say how the controller is: from what is known, asking the database but no host."""
        unknown = self.census.reason()
        store, pools = await self._store_check.look()
        components = self._conditions.note(
            [
                store,
                self._pulse.health(),
                self._lag.health(),
                ComponentHealth(name="machines", status="degraded" if unknown else "ok", detail=unknown),
                *health.hosts(self.inventory.links.values()),
                *health.pools(pools),
                *self._certificates.health(),
                *self._shop.strangers.health(),
            ]
        )
        return Health(
            status=health.overall(components),
            version=version("cernvmhub"),
            hub_id=self.hub_id,
            start_timeout=self._settings.start_timeout,
            components=components,
        )

    def _poke(self, machine: str) -> None:
        self.reconciler.poke(machine)

    # --- hosts that come and go, machines to which something happens ---

    async def _came(self, link: HostLink) -> None:
        """Compare the database with a host that answers (again)."""
        if not link.spec.provisions:
            await self.census.add(link.id)  # no machine of ours is there
            return
        try:
            await self._look_for_strangers(link)
            await rebuild(self._shop, link)
        except CernVMError as error:
            _log.warning("host not compared", host=link.id, reason=error.detail)
        else:
            await self.census.add(link.id)
            await self._sweep(link.spec.pool.name)
        await self.volumes.go_on()
        await self.sidecars.go_on()
        async with self.store.read() as session:
            placed = await machines.concerned(session, link.id)
        self._uuids.update((row.uuid, row.id) for row in placed)
        self._in_background(self._look_at([row.id for row in placed]))

    async def _look_for_strangers(self, link: HostLink) -> None:
        self._shop.strangers.look(link.id, link.spec.network, await link.hypervisor.domains())

    async def _went(self, link: HostLink) -> None:
        for machine in await self._shop.ledger.unknown(link.id):
            self.reconciler.poke(machine)

    def _happened(self, uuid: str) -> None:
        machine = self._uuids.get(uuid)
        if machine is not None:
            self.reconciler.poke(machine)
        else:
            self._in_background(self._find(uuid))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find(self, uuid: str) -> None:
        """Remember whose domain it is."""
        try:
            async with self.store.read() as session:
                found = (await session.scalars(select(MachineRow.id).where(MachineRow.uuid == uuid))).first()
        except StoreUnavailable:
            return  # the safety net looks at every machine
        if found is not None:
            self._uuids[uuid] = found
            self.reconciler.poke(found)

    async def _close_orphans(self) -> None:
        """End the operations of an earlier controller that nothing goes on with."""
        async with self.store.write(Actor.system(), "operations.close", "operations", audit=False) as tx:
            for operation in await operations.running(tx.session):
                if operation.action in {DOWNLOAD, DRAIN}:
                    continue  # gone on with at once
                if operation.action in {DELETION, sidecars.ACTION}:
                    continue  # gone on with when a host of its pool answers
                row = await tx.session.get(MachineRow, operation.subject.removeprefix("machine/"))
                under_way = row is not None and (row.status in UNDER_WAY or row.moving_to is not None)
                if row is None or not (under_way or momentary.asked(row) is not None):
                    ended = CernVMError(
                        f"The controller was restarted meanwhile; look at {operation.subject}, try again."
                    )
                    await operations.finish(tx, operation, OperationStatus.FAILED, error=ended.problem())

    # --- the safety net ---

    async def _poll(self) -> None:
        while True:
            self._pulse.beat()
            await asyncio.sleep(self._settings.poll_interval)
            try:
                await self._look_at_all()
            except StoreUnavailable as error:
                _log.warning("machines not looked at", reason=error.detail)
            except Exception:  # noqa: BLE001 - one bad round must not be the last one
                _log.exception("not everything was looked at")

    async def _look_at_all(self) -> None:
        for link in list(self.inventory.links.values()):
            if link.alive:
                try:
                    await self.inventory.measure(link)
                    if self._shop.strangers.on(link.id):
                        await self._look_for_strangers(link)
                except CernVMError as error:
                    _log.warning("pool not measured", host=link.id, reason=error.detail)
                if link.id in self.census.missing:
                    await self._came(link)
        await self.volumes.go_on()
        await self.sidecars.go_on()
        async with self.store.read() as session:
            everything = await machines.all_ids(session)
        await self._look_at(everything)

    async def _look_at(self, ids: Sequence[str]) -> None:
        """Have many machines looked at, a few at a time: requests must not wait for them all."""
        async with self._rounds:
            for begin in range(0, len(ids), _AT_ONCE):
                for machine in ids[begin : begin + _AT_ONCE]:
                    self.reconciler.poke(machine)
                await asyncio.sleep(_BREATH)

    async def _sweep(self, pool: str) -> None:
        """Remove what nothing needs from a pool, once the machines of all hosts are known."""
        if self.census.missing:
            return
        try:
            await sweep(self._shop, pool)
        except CernVMError as error:
            _log.warning("pool not swept", pool=pool, reason=error.detail)

    async def _prune(self) -> None:
        while True:
            try:
                await self.store.prune()
            except StoreUnavailable as error:
                _log.warning("old events not thrown away", reason=error.detail)
            except Exception:  # noqa: BLE001 - the next time may be better
                _log.exception("old events were not pruned")
            links = self.inventory.links.values()
            for pool in {link.spec.pool.name for link in links if link.spec.provisions}:
                await self._sweep(pool)
            await asyncio.sleep(_PRUNE_EVERY)

    async def _check(self) -> None:
        """Notice a database that cannot be used, and that it can be again; look at all machines then."""
        known = ""
        while True:
            await asyncio.sleep(_CHECK_AGAIN if known else self._settings.poll_interval)
            now = await self.store.check()
            if now and not known:
                _log.error("the database cannot be used; machines run on", reason=now)
            elif known and not now:
                _log.info("the database can be used again")
                with suppress(StoreUnavailable):
                    await self._look_at_all()
            known = now


def _nowhere() -> Fetcher:
    """Return what fetches from nowhere inside of the site."""
    return Fetcher(Policy(), ssl.create_default_context())
