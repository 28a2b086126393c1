"""A small engine in memory: it has the rules that the web layer relies on, and no machines."""

import asyncio
import contextlib
from datetime import UTC, datetime
from itertools import count

import msgspec

from cernvmapi.clusters import Cluster
from cernvmapi.consoles import ConsoleKind
from cernvmapi.errors import Busy, Conflict, Forbidden, Malformed, NotFound
from cernvmapi.hosts import HostReport
from cernvmapi.lifecycle import BulkResult
from cernvmapi.models import (
    Appliance,
    AuditRecord,
    CatalogueEntry,
    ComponentHealth,
    Console,
    Event,
    Feed,
    Flavor,
    Health,
    Host,
    Level,
    Machine,
    MachineLock,
    Network,
    Operation,
    OperationStatus,
    Page,
    Pool,
    Power,
    Status,
    Target,
    Volume,
    VolumeKind,
)
from cernvmapi.usage import Usage, UsageStatistics, UseOf
from cernvmcontroller.consoles import keyboard
from cernvmcontroller.consoles.serial import Consoles
from cernvmcontroller.consoles.viewing import ScreenViewing, SerialViewing
from cernvmcontroller.events import Batch, EventLog
from cernvmcontroller.hypervisor.fakestream import MemoryStream
from cernvmcontroller.telemetry.figures import Figures

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class ListJournal:
    """Events in a list; those up to `pruned` are forgotten."""

    def __init__(self):
        self.events = []
        self.pruned = 0

    async def since(self, after, upto, chosen, limit):
        found = [e for e in self.events if max(after, self.pruned) < e.id <= upto and chosen.wants(e)]
        return Batch(found[:limit], self.pruned)


def machine(machine_id, owner, **more):
    values = {
        "id": machine_id,
        "name": f"{owner}'s",
        "owner": owner,
        "server_name": None,
        "appliance": "default",
        "appliance_title": "CernVM",
        "flavor": "small",
        "vcpus": 1,
        "memory_mib": 1024,
        "disk_mib": 8192,
        "host": None,
        "uuid": "8f14e45f-0000-5000-8000-000000000000",
        "address": None,
        "status": Status.STOPPED,
        "target": Target.STOPPED,
        "power": Power.OFF,
        "actions": ["start", "delete"],
        "created": NOW,
        "changed": NOW,
    }
    return Machine(**(values | more))


def _slice(items, limit, cursor, event_id=0):
    try:
        start = int(cursor or 0)
    except ValueError:
        raise Malformed("This is no page's cursor.") from None
    end = start + limit
    following = str(end) if end < len(items) else None
    return Page(items=items[start:end], total=len(items), next=following, event_id=event_id)


class Machines:
    def __init__(self, engine):
        self.engine = engine
        self.rows = {}
        self.sessions = {}
        self.numbers = count(1)

    async def create(self, actor, request, owner):
        self.engine.record(actor, "machine.create", request.name or "")
        if request.notebook:
            for row in self.rows.values():
                if (row.owner, row.server_name) == (owner, request.server_name):
                    return row, False
        new = machine(
            f"m-new{next(self.numbers)}", owner, name=request.name or "new", server_name=request.server_name
        )
        self.put(new)
        return new, True

    def put(self, row):
        self.rows[row.id] = row
        self.engine.emit("machine.changed", f"machine/{row.id}", row.owner, msgspec.to_builtins(row))

    async def get(self, machine_id):
        try:
            return self.rows[machine_id]
        except KeyError:
            raise NotFound(f"no such row: {machine_id}") from None

    async def page(
        self,
        *,
        owner=None,
        status=(),
        host=None,
        cluster=None,
        search=None,
        sort="-created",
        limit=100,
        cursor=None,
    ):
        rows = [
            row
            for row in self.rows.values()
            if (owner is None or row.owner == owner)
            and (not status or row.status in status)
            and (host is None or row.host == host)
            and (cluster is None or row.cluster == cluster)
            and (search is None or search in row.name)
        ]
        rows.sort(key=lambda row: row.name, reverse=sort.startswith("-"))
        return _slice(rows, limit, cursor, self.engine.events.last_id())

    async def _begin(self, actor, action, machine_id):
        row = await self.get(machine_id)
        self.engine.record(actor, action, f"machine/{machine_id}")
        return self.engine.operations.begin(action, f"machine/{machine_id}", actor.name, row.owner)

    async def start(self, actor, machine_id, session, *, discard=False):
        if session is not None:
            self.sessions[machine_id] = session
        return await self._begin(actor, "machine.start", machine_id)

    async def shutdown(self, actor, machine_id):
        return await self._begin(actor, "machine.shutdown", machine_id)

    async def poweroff(self, actor, machine_id):
        return await self._begin(actor, "machine.poweroff", machine_id)

    async def reboot(self, actor, machine_id):
        return await self._begin(actor, "machine.reboot", machine_id)

    async def delete(self, actor, machine_id):
        operation = await self._begin(actor, "machine.delete", machine_id)
        row = self.rows.pop(machine_id)
        self.engine.emit("machine.deleted", f"machine/{machine_id}", row.owner, {})
        return operation

    async def change(self, actor, machine_id, request):
        fields = {
            name: getattr(request, name)
            for name in ("name", "owner", "server_name", "labels", "notes")
            if getattr(request, name) is not None
        }
        self.rows[machine_id] = msgspec.structs.replace(await self.get(machine_id), **fields)
        return self.rows[machine_id]

    async def put_session(self, actor, machine_id, session):
        self.sessions[machine_id] = session
        return await self.get(machine_id)

    async def console(self, machine_id):
        await self.get(machine_id)
        return Console(machine=machine_id, text="login: \x1b[0m")


class Screens:
    """Real rings and viewings of machines whose guests are the test: `guests` has their ends."""

    def __init__(self, engine):
        self.engine = engine
        self.consoles = Consoles()
        self.guests = {}
        self.screens = []
        self.pressed = []
        self.refusal = None

    async def boot(self, machine_id):
        """Return the guest's end of a serial console."""
        ours, theirs = MemoryStream.pair()

        async def opener():
            return ours

        self.consoles.follow(machine_id, opener)
        while self.consoles.kept(machine_id) is None or not self.consoles._streams:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return theirs

    async def check(self, machine_id, kind):
        await self.engine.machines.get(machine_id)
        if self.refusal:
            raise self.refusal

    async def open(self, actor, machine_id, request):
        await self.check(machine_id, request.kind)
        self.engine.record(actor, "machine.console", f"machine/{machine_id}")
        if request.kind is ConsoleKind.SERIAL:
            return SerialViewing(self.consoles, machine_id, view_only=request.view_only, after=request.after)
        ours, theirs = MemoryStream.pair()
        self.screens.append(theirs)
        return ScreenViewing(ours, view_only=request.view_only)

    async def screenshot(self, machine_id):
        await self.engine.machines.get(machine_id)
        return b"\x89PNG\r\n\x1a\n"

    async def press(self, actor, machine_id, keys):
        self.pressed += keyboard.pressed(keys.text, keys.keys)
        self.engine.record(actor, "machine.keys", f"machine/{machine_id}")


class Operations:
    def __init__(self, engine):
        self.engine = engine
        self.rows = {}
        self.numbers = count(1)
        self.changed = asyncio.Condition()

    def begin(self, action, subject, actor, owner):
        operation = Operation(
            id=f"o-{next(self.numbers)}",
            action=action,
            subject=subject,
            actor=actor,
            owner=owner,
            status=OperationStatus.RUNNING,
            created=NOW,
        )
        self.rows[operation.id] = operation
        return operation

    async def finish(self, operation_id, status=OperationStatus.SUCCEEDED, error=None):
        async with self.changed:
            self.rows[operation_id] = msgspec.structs.replace(
                self.rows[operation_id], status=status, error=error, finished=NOW
            )
            self.changed.notify_all()
        return self.rows[operation_id]

    async def get(self, operation_id):
        try:
            return self.rows[operation_id]
        except KeyError:
            raise NotFound("no such row") from None

    async def page(self, *, owner, status, subject, limit, cursor):
        rows = [
            row
            for row in self.rows.values()
            if (owner is None or row.owner == owner)
            and (not status or row.status in status)
            and (subject is None or row.subject == subject)
        ]
        return _slice(rows, limit, cursor)

    async def wait(self, operation_id, seconds):
        async def finished():
            async with self.changed:
                await self.changed.wait_for(
                    lambda: self.rows[operation_id].status is not OperationStatus.RUNNING
                )

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(finished(), seconds)
        return self.rows[operation_id]

    async def cancel(self, actor, operation_id):
        operation = await self.get(operation_id)
        if operation.status is not OperationStatus.RUNNING:
            raise Conflict("It is finished.")
        return await self.finish(operation_id, OperationStatus.CANCELLED)


class Volumes:
    def __init__(self):
        self.rows = {}

    def put(self, volume_id, owner, kind=VolumeKind.HOME):
        self.rows[volume_id] = Volume(
            id=volume_id, kind=kind, name=f"home-{volume_id}.qcow2", pool="local", owner=owner, created=NOW
        )

    async def get(self, volume_id):
        try:
            return self.rows[volume_id]
        except KeyError:
            raise NotFound("no such row") from None

    async def page(self, *, owner, kind, limit, cursor):
        rows = [
            row
            for row in self.rows.values()
            if (owner is None or row.owner == owner) and (kind is None or row.kind == kind)
        ]
        return _slice(rows, limit, cursor)

    async def change(self, actor, volume_id, request):
        row = await self.get(volume_id)
        self.rows[volume_id] = msgspec.structs.replace(row, owner=request.owner or row.owner)
        return self.rows[volume_id]

    async def delete(self, actor, volume_id):
        del self.rows[volume_id]


class Inventory:
    async def hosts(self):
        return [await self.host("local")]

    async def host(self, host_id):
        if host_id != "local":
            raise NotFound(f"There is no host {host_id}.")
        return Host(id="local", name="local", uris=["qemu:///system"], level=Level.NOTEBOOK, alive=True)

    async def networks(self):
        return [
            Network(
                id="n",
                name="n",
                hosts=["local"],
                cidr="10.80.0.0/20",
                gateway="10.80.0.1",
                addresses=4000,
                used=1,
            )
        ]

    async def pools(self):
        return [Pool(id="p", name="p", hosts=["local"], shared=False)]

    async def flavors(self):
        return [Flavor(id="small", title="Small", vcpus=1, memory_mib=1024, disk_mib=8192, default=True)]


class Hosts:
    def __init__(self, engine):
        self.engine = engine
        self.attached = []

    async def test(self, request):
        return HostReport(reachable=False, reason=f"Nothing answers at {request.uri}.")

    async def look(self, host_id):
        await self.engine.inventory.host(host_id)
        return HostReport(reachable=True, level=Level.NOTEBOOK)

    async def attach(self, actor, request):
        self.engine.record(actor, "host.attach", f"host/{request.name}")
        self.attached.append(request)
        return Host(
            id=request.name,
            name=request.name,
            uris=request.uris,
            level=request.level,
            alive=False,
            source="api",
        )

    async def change(self, actor, host_id, request):
        self.engine.record(actor, "host.change", f"host/{host_id}")
        host = await self.engine.inventory.host(host_id)
        return msgspec.structs.replace(host, maintenance=bool(request.maintenance))

    async def detach(self, actor, host_id, *, forget):
        self.engine.record(actor, "host.forget" if forget else "host.detach", f"host/{host_id}")


class Clusters:
    def __init__(self, engine):
        self.engine = engine
        self.rows = {"default": Cluster(id="default", name="default", default=True, created=NOW)}

    async def all(self, *, host, machine):
        return list(self.rows.values())

    async def get(self, cluster_id):
        try:
            return self.rows[cluster_id]
        except KeyError:
            raise NotFound(f"There is no cluster {cluster_id}.") from None

    async def create(self, actor, request):
        self.engine.record(actor, "cluster.create", f"cluster/{request.id}")
        self.rows[request.id] = Cluster(id=request.id, name=request.name or request.id, created=NOW)
        return self.rows[request.id]

    async def change(self, actor, cluster_id, request):
        row = await self.get(cluster_id)
        self.rows[cluster_id] = msgspec.structs.replace(row, name=request.name or row.name)
        return self.rows[cluster_id]

    async def put_members(self, actor, cluster_id, request):
        row = await self.get(cluster_id)
        self.rows[cluster_id] = msgspec.structs.replace(row, hosts=request.add_hosts)
        return self.rows[cluster_id]

    async def delete(self, actor, cluster_id):
        await self.get(cluster_id)
        del self.rows[cluster_id]


class Repository:
    def __init__(self):
        self.rows = {
            name: Appliance(
                id=name,
                title=name,
                version="1",
                sha256="0" * 64,
                size=1,
                virtual_size_mib=1,
                hidden=name == "secret",
                updated=NOW,
            )
            for name in ("default", "secret")
        }

    async def appliances(self):
        return list(self.rows.values())

    async def appliance(self, appliance_id):
        try:
            return self.rows[appliance_id]
        except KeyError:
            raise NotFound(f"There is no appliance {appliance_id}.") from None


class Feeds:
    def __init__(self, engine):
        self.engine = engine
        self.rows = {}
        self.put(
            Feed(id="f-one", title="One", url="https://feeds.example/one.rss", interval=3600, created=NOW)
        )

    def put(self, row):
        self.rows[row.id] = row
        return row

    async def feeds(self):
        return list(self.rows.values())

    async def feed(self, feed_id):
        try:
            return self.rows[feed_id]
        except KeyError:
            raise NotFound(f"There is no feed {feed_id}.") from None

    async def create(self, actor, request):
        id_ = request.id or f"f-{len(self.rows)}"
        if id_ in self.rows:
            raise Conflict(f"There is a feed {id_} already.")
        self.engine.record(actor, "feed.create", f"feed/{id_}")
        title = request.title or "untitled"
        return self.put(Feed(id=id_, title=title, url=request.url, interval=request.interval, created=NOW))

    async def change(self, actor, feed_id, update):
        row = await self.feed(feed_id)
        self.engine.record(actor, "feed.change", f"feed/{feed_id}")
        return self.put(msgspec.structs.replace(row, title=update.title or row.title))

    async def delete(self, actor, feed_id):
        await self.feed(feed_id)
        self.engine.record(actor, "feed.delete", f"feed/{feed_id}")
        del self.rows[feed_id]

    async def refresh(self, actor, feed_id):
        await self.feed(feed_id)
        self.engine.record(actor, "feed.refresh", f"feed/{feed_id}")
        return self.engine.operations.begin("feed.refresh", f"feed/{feed_id}", actor.name, None)


class Catalogue:
    def __init__(self):
        self.rows = [
            CatalogueEntry(
                id=f"e-{number}", guid=f"{number}", title=f"Entry {number}", feed="f-one", feed_title="One"
            )
            for number in range(5)
        ]

    async def page(self, wanted):
        rows = [row for row in self.rows if wanted.search is None or wanted.search in row.title]
        return _slice(rows, wanted.limit, wanted.cursor)


class Downloads:
    def __init__(self, engine):
        self.engine = engine

    async def create(self, actor, request):
        subject = f"appliance/{request.id or 'new'}"
        self.engine.record(actor, "appliance.download", subject)
        return self.engine.operations.begin("appliance.download", subject, actor.name, None)


class Audit:
    def __init__(self):
        self.rows = []

    async def page(self, *, actor, action, subject, limit, cursor):
        rows = [
            row
            for row in reversed(self.rows)
            if (actor is None or row.actor == actor)
            and (action is None or row.action == action)
            and (subject is None or row.subject == subject)
        ]
        return _slice(rows, limit, cursor)


class UsageHistory:
    def __init__(self, engine):
        self.engine = engine
        self.asked = []

    def _usage(self, subject, wanted, owner=None):
        self.asked.append((subject, owner, wanted))
        return Usage(subject=subject, start=NOW, end=NOW, resolution=30, cpus=[0.5, None])

    async def machine(self, machine_id, owner, wanted):
        return self._usage(f"machine/{machine_id}", wanted, owner)

    async def machines(self, ids, owner, wanted):
        return [self._usage(f"machine/{each}", wanted, owner) for each in ids]

    async def host(self, host_id, wanted):
        return self._usage(f"host/{host_id}", wanted)

    async def cluster(self, cluster_id, wanted):
        return self._usage(f"cluster/{cluster_id}", wanted)

    async def appliance(self, appliance_id, wanted):
        return self._usage(f"appliance/{appliance_id}", wanted)

    async def owner(self, owner, wanted):
        return self._usage("hub" if owner is None else f"user/{owner}", wanted, owner)

    async def statistics(self, owner, by, wanted):
        self.asked.append(("statistics", owner, wanted))
        return UsageStatistics(start=NOW, end=NOW, by=by, items=[UseOf(name=owner or "default", starts=1)])


class Lifecycle:
    def __init__(self, engine):
        self.engine = engine

    async def suspend(self, actor, machine_id):
        return await self.engine.machines._begin(actor, "machine.suspend", machine_id)

    async def resume(self, actor, machine_id):
        return await self.engine.machines._begin(actor, "machine.resume", machine_id)

    async def reset(self, actor, machine_id):
        return await self.engine.machines._begin(actor, "machine.reset", machine_id)

    async def store(self, actor, machine_id, request):
        await self.lock(actor, machine_id, request)
        return await self.engine.machines._begin(actor, "machine.store", machine_id)

    async def lock(self, actor, machine_id, request):
        self.engine.record(actor, "machine.lock", f"machine/{machine_id}")
        lock = MachineLock(author=actor.name, at=NOW, reason=request.reason)
        return self._put(machine_id, lock)

    async def unlock(self, actor, machine_id, *, any_author):
        lock = (await self.engine.machines.get(machine_id)).lock
        if lock is not None and not any_author and lock.author != actor.name:
            raise Forbidden(f"{lock.author} locked the machine.")
        self.engine.record(actor, "machine.unlock", f"machine/{machine_id}")
        return self._put(machine_id, None)

    def _put(self, machine_id, lock):
        machines = self.engine.machines
        machines.rows[machine_id] = msgspec.structs.replace(machines.rows[machine_id], lock=lock)
        return machines.rows[machine_id]

    async def many(self, actor, request, owner):
        found = []
        for id_ in request.ids:
            row = self.engine.machines.rows.get(id_)
            if row is None or owner not in (None, row.owner):
                found.append(BulkResult(id=id_, possible=False, reason="There is no such machine."))
                continue
            verb = f"machine.{request.action}"
            begun = None if request.preview else await self.engine.machines._begin(actor, verb, id_)
            found.append(BulkResult(id=id_, name=row.name, possible=True, operation=begun))
        return found


class MemoryEngine:
    """What `cernvmcontroller.web.engine` asks for."""

    def __init__(self):
        self.journal = ListJournal()
        self.events = EventLog(self.journal)
        self.audit = Audit()
        self.machines = Machines(self)
        self.lifecycle = Lifecycle(self)
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
