"""The engine: everything that is behind the API, put together, started and ended."""

from __future__ import annotations

import asyncio
import ssl
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from cernvmapi.errors import CernVMError
from cernvmapi.models import AuditRecord, ComponentHealth, Health, OperationStatus, Page, Status
from cernvmcontroller.catalogue.catalogue import Catalogue
from cernvmcontroller.catalogue.feeds import Feeds
from cernvmcontroller.fetch import Fetcher, Policy
from cernvmcontroller.machines.agentlink import AgentLinks
from cernvmcontroller.machines.census import Census
from cernvmcontroller.machines.console import Consoles
from cernvmcontroller.machines.ledger import Ledger
from cernvmcontroller.machines.operations import Operations
from cernvmcontroller.machines.rebuild import rebuild
from cernvmcontroller.machines.reconciler import Reconciler
from cernvmcontroller.machines.service import Machines
from cernvmcontroller.machines.sessions import Sessions
from cernvmcontroller.machines.uploads import Uploads
from cernvmcontroller.machines.volumes import Volumes
from cernvmcontroller.machines.worker import Worker
from cernvmcontroller.machines.workshop import Workshop
from cernvmcontroller.store import Actor, Store, audit, machines, operations
from cernvmcontroller.store.tables import MachineRow
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from cernvmcontroller.events import EventLog
    from cernvmcontroller.inventory import HostLink, Inventory
    from cernvmcontroller.machines.settings import Settings
    from cernvmcontroller.repository import Repository

_log = structlog.get_logger(__name__)
_PRUNE_EVERY = 3600.0
_UNDER_WAY = (Status.STARTING, Status.STOPPING, Status.DELETING)


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
    ) -> None:
        self.hub_id = hub_id
        self.store = store
        self.inventory = inventory
        self.repository = repository
        self.feeds = feeds or Feeds(store, Fetcher(Policy(), ssl.create_default_context()))
        self.catalogue = Catalogue(store)
        self.sessions = Sessions()
        self.consoles = Consoles()
        self.links = AgentLinks(settings.retry)
        self._settings = settings
        self._uploads = Uploads(store)
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
            poke=self._poke,
        )
        self.reconciler = Reconciler(Worker(self._shop), settings.retry)
        self.machines = Machines(store, self._shop, self.reconciler.interrupt)
        self.operations = Operations(store, self.machines.cancel_start)
        self.volumes = Volumes(store, inventory, self._shop.going)
        self.audit = Audit(store)
        self.census = Census(store, inventory.configured)
        self._uuids: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def events(self) -> EventLog:
        """The event log."""
        return self.store.events

    async def start(self) -> None:
        """Find again what runs, go on with what was begun, and look at everything now and then."""
        await self.repository.load()
        await self._close_orphans()
        await self.feeds.start()
        await self.census.load()
        await self.inventory.start(came=self._came, went=self._went, happened=self._happened)
        async with self.store.read() as session:
            unplaced = [
                machine
                for machine in await machines.all_ids(session)
                if (await machines.get(session, machine)).host is None
            ]
        for machine in unplaced:
            self.reconciler.poke(machine)
        self._tasks |= {
            asyncio.create_task(self._poll(), name="poll"),
            asyncio.create_task(self._prune(), name="prune"),
        }

    async def close(self) -> None:
        """End; machines keep running and are found again."""
        await end(self._tasks)
        await self.feeds.close()
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

    async def health(self) -> Health:
        """Say how the controller is, at once: from what is known, without asking a host."""
        unknown = self.census.reason()
        components = [
            ComponentHealth(name="store", status="ok"),
            ComponentHealth(name="machines", status="degraded" if unknown else "ok", detail=unknown),
        ]
        components += [
            ComponentHealth(name=f"host/{link.id}", status="ok" if link.alive else "down", detail=link.reason)
            for link in self.inventory.links.values()
        ]
        hosts = [link.alive for link in self.inventory.links.values()]
        status = "ok" if hosts and all(hosts) and not unknown else "degraded"
        return Health(status=status, version=version("cernvmhub"), hub_id=self.hub_id, components=components)

    def _poke(self, machine: str) -> None:
        self.reconciler.poke(machine)

    # --- hosts that come and go, machines to which something happens ---

    async def _came(self, link: HostLink) -> None:
        """Compare the database with a host that answers (again)."""
        try:
            await rebuild(self._shop, link)
        except CernVMError as error:
            _log.warning("host not compared", host=link.id, reason=error.detail)
        else:
            await self.census.add(link.id)
        async with self.store.read() as session:
            placed = await machines.on_host(session, link.id)
        for row in placed:
            self._uuids[row.uuid] = row.id
            self.reconciler.poke(row.id)

    async def _went(self, link: HostLink) -> None:
        for machine in await self._shop.ledger.unknown(link.id):
            self.reconciler.poke(machine)

    def _happened(self, uuid: str) -> None:
        machine = self._uuids.get(uuid)
        if machine is not None:
            self.reconciler.poke(machine)
        else:
            task = asyncio.create_task(self._find(uuid))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _find(self, uuid: str) -> None:
        """Remember whose domain it is."""
        async with self.store.read() as session:
            found = (await session.scalars(select(MachineRow.id).where(MachineRow.uuid == uuid))).first()
        if found is not None:
            self._uuids[uuid] = found
            self.reconciler.poke(found)

    async def _close_orphans(self) -> None:
        """End the operations of an earlier controller that nothing goes on with."""
        async with self.store.write(Actor.system(), "operations.close", "operations", audit=False) as tx:
            for operation in await operations.running(tx.session):
                row = await tx.session.get(MachineRow, operation.subject.removeprefix("machine/"))
                if row is None or row.status not in _UNDER_WAY:
                    ended = CernVMError(
                        f"The controller was restarted meanwhile; look at {operation.subject}, try again."
                    )
                    await operations.finish(tx, operation, OperationStatus.FAILED, error=ended.problem())

    # --- the safety net ---

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_interval)
            for link in self.inventory.links.values():
                if link.alive:
                    try:
                        await self.inventory.measure(link)
                    except CernVMError as error:
                        _log.warning("pool not measured", host=link.id, reason=error.detail)
                    if link.id in self.census.missing:
                        await self._came(link)
            async with self.store.read() as session:
                everything = await machines.all_ids(session)
            for machine in everything:
                self.reconciler.poke(machine)

    async def _prune(self) -> None:
        while True:
            await self.store.prune()
            await asyncio.sleep(_PRUNE_EVERY)
