"""The stand-in of a controller as its clients see it: the paths of the contract."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from msgspec.structs import replace
from tornado import iostream, web

from cernvmapi.errors import (
    CernVMError,
    Malformed,
    NotFound,
    Unauthenticated,
)
from cernvmapi.models import (
    API_PREFIX,
    Console,
    Health,
    Machine,
    MachineChange,
    MachineCreate,
    MachineStart,
    OperationStatus,
    Page,
    Session,
    VolumeChange,
    encode,
)

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import StandIn

from tests.unit.spawner.standin_offer import TOKEN


class Handler(web.RequestHandler):
    """The paths of the contract."""

    ROUTES: ClassVar = [
        ("GET", r"/appliances", "appliances"),
        ("GET", r"/flavors", "flavors"),
        ("GET", r"/machines", "machines"),
        ("POST", r"/machines", "create"),
        ("GET", r"/machines/([^/]+)", "machine"),
        ("PATCH", r"/machines/([^/]+)", "change"),
        ("DELETE", r"/machines/([^/]+)", "delete"),
        ("POST", r"/machines/([^/]+)/start", "start"),
        ("POST", r"/machines/([^/]+)/(shutdown|poweroff)", "shutdown"),
        ("PUT", r"/machines/([^/]+)/session", "session"),
        ("GET", r"/machines/([^/]+)/console", "console"),
        ("GET", r"/volumes", "volumes"),
        ("PATCH", r"/volumes/([^/]+)", "change_volume"),
        ("DELETE", r"/volumes/([^/]+)", "delete_volume"),
        ("GET", r"/operations", "operations"),
        ("GET", r"/operations/([^/]+)", "operation"),
        ("DELETE", r"/operations/([^/]+)", "cancel"),
        ("GET", r"/events", "events"),
        ("GET", r"/health/details", "health"),
    ]

    def initialize(self, controller: StandIn) -> None:
        self.it = controller

    def check_xsrf_cookie(self) -> None:
        """Bearer tokens are all there is."""

    async def _answer(self) -> None:
        path = self.request.path.removeprefix(API_PREFIX)
        self.it.requests.append((self.request.method or "", path))
        self.it.touch()
        task = asyncio.current_task()
        assert task is not None
        self.it.connections.add(task)
        try:
            if self.request.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Unauthenticated("Who are you?")
            for method, pattern, name in self.ROUTES:
                match = re.fullmatch(pattern, path)
                if match and method == self.request.method:
                    if name in self.it.hold:
                        await self.it.hold[name].wait()
                    if name in self.it.refuse:
                        raise self.it.refuse[name]
                    await getattr(self, f"do_{name}")(*match.groups())
                    return
            raise NotFound(f"There is no {path}.")
        except CernVMError as error:
            self.set_status(error.status)
            self.set_header("Content-Type", "application/problem+json")
            await self.finish(encode(error.problem()))
        except msgspec.ValidationError as error:
            self.set_status(400)
            await self.finish(encode(Malformed(str(error)).problem()))
        except iostream.StreamClosedError:
            """Whoever asked is gone."""
        except asyncio.CancelledError:
            self.request.connection.stream.close()  # type: ignore[union-attr]
        finally:
            self.it.connections.discard(task)

    get = post = put = patch = delete = _answer

    async def say(self, thing: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        await self.finish(encode(thing))

    async def say_page(self, items: list[Any]) -> None:
        await self.say(Page(items=items, total=len(items), event_id=len(self.it.events)))

    def named(self, machine_id: str) -> Machine:
        if machine_id not in self.it.machines:
            raise NotFound(f"There is no machine {machine_id}.")
        return self.it.machines[machine_id]

    async def do_appliances(self) -> None:
        await self.say_page(self.it.appliances)

    async def do_flavors(self) -> None:
        await self.say_page(self.it.flavors)

    async def do_machines(self) -> None:
        owner = self.get_query_argument("owner", None)
        await self.say_page([one for one in self.it.machines.values() if owner in (None, one.owner)])

    async def do_create(self) -> None:
        machine, new = self.it.create(msgspec.json.decode(self.request.body, type=MachineCreate))
        await self.say(machine, 201 if new else 200)

    async def do_machine(self, machine_id: str) -> None:
        await self.say(self.named(machine_id))

    async def do_change(self, machine_id: str) -> None:
        self.named(machine_id)
        wish = msgspec.json.decode(self.request.body, type=MachineChange)
        await self.say(self.it.rename(machine_id, wish))

    async def do_delete(self, machine_id: str) -> None:
        self.named(machine_id)
        await self.say(self.it.begin("delete", machine_id, lambda: self.it.delete(machine_id)), 202)

    async def do_start(self, machine_id: str) -> None:
        self.named(machine_id)
        start = msgspec.json.decode(self.request.body, type=MachineStart)
        self.it.sessions[machine_id] = [start.session] if start.session else []
        await self.say(self.it.begin("start", machine_id, lambda: self.it.start(machine_id)), 202)

    async def do_shutdown(self, machine_id: str, how: str) -> None:
        self.named(machine_id)
        await self.say(self.it.begin(how, machine_id, lambda: self.it.stop(machine_id)), 202)

    async def do_session(self, machine_id: str) -> None:
        self.named(machine_id)
        self.it.sessions[machine_id].append(msgspec.json.decode(self.request.body, type=Session))
        await self.say(self.it.change(machine_id, awaiting_session=False))

    async def do_console(self, machine_id: str) -> None:
        await self.say(Console(machine=machine_id, text=self.it.console))

    async def do_volumes(self) -> None:
        owner = self.get_query_argument("owner", None)
        await self.say_page([one for one in self.it.volumes.values() if owner in (None, one.owner)])

    async def do_change_volume(self, volume_id: str) -> None:
        wish = msgspec.json.decode(self.request.body, type=VolumeChange)
        self.it.volumes[volume_id] = replace(self.it.volumes[volume_id], server_name=wish.server_name)
        await self.say(self.it.volumes[volume_id])

    async def do_delete_volume(self, volume_id: str) -> None:
        self.it.volumes.pop(volume_id)
        self.set_status(204)
        await self.finish()

    async def do_operations(self) -> None:
        subject = self.get_query_argument("subject", None)
        await self.say_page(
            [
                one
                for one in self.it.operations.values()
                if subject in (None, one.subject) and one.status is OperationStatus.RUNNING
            ]
        )

    async def do_operation(self, operation_id: str) -> None:
        wait = float(self.get_query_argument("wait", "0"))
        with contextlib.suppress(TimeoutError):
            await self.it.until(
                lambda: self.it.operations[operation_id].status is not OperationStatus.RUNNING, wait
            )
        await self.say(self.it.operations[operation_id])

    async def do_cancel(self, operation_id: str) -> None:
        await self.say(await self.it.cancel(operation_id))

    async def do_health(self) -> None:
        await self.say(Health(status="ok", start_timeout=self.it.start_timeout))

    async def do_events(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        position = int(self.request.headers.get("Last-Event-ID", len(self.it.events)))
        self.write(": hello\n\n")
        await self.flush()
        while True:
            await self.it.until(lambda seen=position: len(self.it.events) > seen, 3600)
            for event in self.it.events[position:]:
                self.write(f"id: {event.id}\nevent: {event.type}\ndata: {encode(event).decode()}\n\n")
            position = len(self.it.events)
            await self.flush()
