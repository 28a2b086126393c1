"""A small engine in memory: it has the rules that the web layer relies on, and no machines."""

from tests.unit.web.memorymachines import Lifecycle, Machines, Operations, Screens
from tests.unit.web.memorymoves import Definitions, Fitting, Moves, Snapshots
from tests.unit.web.memorymoves import Hosts as Leaving
from tests.unit.web.memoryrecords import Audit, ListJournal, UsageHistory, Volumes
from tests.unit.web.memoryrows import NOW
from tests.unit.web.memorysite import Catalogue, Clusters, Downloads, Feeds, Hosts, Inventory, Repository

from cernvmapi.errors import Busy
from cernvmapi.models import AuditRecord, ComponentHealth, Event, Health, Status
from cernvmcontroller.events import EventLog
from cernvmcontroller.telemetry.figures import Figures


class MemoryEngine:
    """What `cernvmcontroller.web.engine` asks for."""

    def __init__(self):
        self.journal = ListJournal()
        self.events = EventLog(self.journal)
        self.audit = Audit()
        self.machines = Machines(self)
        self.lifecycle = Lifecycle(self)
        self.moves = Moves(self)
        self.drains = self.evacuation = Leaving(self)
        self.snapshots = Snapshots(self)
        self.definitions = Definitions(self)
        self.fitting = Fitting(self)
        self.screens = Screens(self)
        self.operations = Operations(self)
        self.volumes = Volumes()
        self.inventory = Inventory()
        self.hosts = Hosts(self)
        self.clusters = Clusters(self)
        self.repository = Repository()
        self.feeds = Feeds(self)
        self.catalogue = Catalogue()
        self.downloads = Downloads(self)
        self.usage = UsageHistory(self)
        self.status = "ok"
        self.unknown = ""
        """Why not all machines are known."""

    def record(self, actor, action, subject):
        self.audit.rows.append(
            AuditRecord(
                id=len(self.audit.rows) + 1,
                at=NOW,
                actor=actor.name,
                action=action,
                subject=subject,
                address=actor.address,
                request_id=actor.request_id,
            )
        )

    def emit(self, type_, subject, owner, data):
        event = Event(
            id=self.events.last_id() + 1, type=type_, subject=subject, owner=owner, at=NOW, data=data
        )
        self.journal.events.append(event)
        self.events.publish([event])
        return event

    async def machines_known(self):
        if self.unknown:
            raise Busy(self.unknown)

    async def figures(self):
        machines = {
            status: sum(row.status is status for row in self.machines.rows.values()) for status in Status
        }
        return Figures(
            machines=machines,
            operations={"machine.start": 2},
            hosts=await self.inventory.hosts(),
            pools=await self.inventory.pools(),
        )

    async def health(self):
        parts = [ComponentHealth(name="host local", status="ok", detail="qemu+ssh://root@node7/system")]
        return Health(status=self.status, version="0", hub_id="hub", components=parts)
