"""The machines of the engine in memory, what is done with them, and their consoles."""

import asyncio
import contextlib
from itertools import count

import msgspec
from tests.unit.web.memoryrows import NOW, machine, slice_of

from cernvmapi.consoles import ConsoleKind
from cernvmapi.errors import Conflict, Forbidden, NotFound
from cernvmapi.lifecycle import BulkResult
from cernvmapi.models import Console, MachineLock, Operation, OperationStatus
from cernvmcontroller.consoles import keyboard
from cernvmcontroller.consoles.serial import Consoles
from cernvmcontroller.consoles.viewing import ScreenViewing, SerialViewing
from cernvmcontroller.hypervisor.fakestream import MemoryStream


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
        return slice_of(rows, limit, cursor, self.engine.events.last_id())

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
        return Console(machine=machine_id, text="login: ")


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
        return slice_of(rows, limit, cursor)

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
