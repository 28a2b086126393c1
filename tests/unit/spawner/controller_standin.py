"""A controller that speaks the whole contract and has no machines: it behaves as it is told to.

It keeps a log of requests, can be slow, fail at any phase, lose a machine, go away and come back, and says
what the real one says. In place of a machine it starts a small server, or a real `jupyterhub-singleuser`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import ssl
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace
from tornado import httpserver, iostream, netutil, web

from cernvmapi.errors import (
    CernVMError,
    Conflict,
    ForeignHome,
    Malformed,
    NotFound,
    StartFailed,
    Unauthenticated,
)
from cernvmapi.models import (
    API_PREFIX,
    Appliance,
    Console,
    Event,
    Flavor,
    Machine,
    MachineCreate,
    MachineStart,
    Operation,
    OperationStatus,
    Page,
    Phase,
    PhaseMark,
    Power,
    Session,
    Status,
    Target,
    Volume,
    VolumeChange,
    VolumeKind,
    encode,
)

TOKEN = "the-hubs-token"
UPDATED = datetime(2026, 9, 14, 12, tzinfo=UTC)
GUEST_FILES = "/run/cernvmhub"

PHASES = (
    (Phase.PLACED, "The machine goes to the host local", 5),
    (Phase.DISK, "Its disk is ready", 20),
    (Phase.BOOT, "The machine boots", 34),
    (Phase.CONTEXT, "The machine is up and gets its session", 64),
    (Phase.SERVER, "The notebook server starts", 80),
)

APPLIANCES = [
    Appliance(
        id="cernvm",
        title="CernVM",
        version="6.1",
        description="Debian with JupyterLab, ROOT's uproot, awkward arrays and CVMFS mount points.",
        sha256="a" * 64,
        size=1,
        virtual_size_mib=4096,
        min_memory_mib=512,
        default=True,
        updated=UPDATED,
    ),
    Appliance(
        id="cernvm-next",
        title="CernVM Next",
        version="7.0-rc2",
        sha256="b" * 64,
        size=1,
        virtual_size_mib=4096,
        min_memory_mib=2048,
        updated=UPDATED,
    ),
    Appliance(
        id="tiny",
        title="Probe",
        version="1",
        sha256="c" * 64,
        size=1,
        virtual_size_mib=64,
        notebook=False,
        hidden=True,
        updated=UPDATED,
    ),
]
FLAVORS = [
    Flavor(id="small", title="Small", vcpus=1, memory_mib=1024, disk_mib=10240, default=True),
    Flavor(id="large", title="Large", vcpus=4, memory_mib=8192, disk_mib=40960),
]


MakeSpawner = Callable[..., Any]
"""What the fixture `spawner_of` is."""


class StandIn:
    """The stand-in; use it as ``async with StandIn() as controller``."""

    def __init__(self, *, real_servers: bool = False) -> None:
        self.real_servers = real_servers
        self.requests: list[tuple[str, str]] = []
        self.machines: dict[str, Machine] = {}
        self.volumes: dict[str, Volume] = {}
        self.operations: dict[str, Operation] = {}
        self.events: list[Event] = []
        self.sessions: dict[str, list[Session]] = defaultdict(list)
        self.appliances, self.flavors = list(APPLIANCES), list(FLAVORS)
        self.requested: list[MachineCreate] = []
        self.console = "[    0.000000] Linux version 6.1\nlocalhost login: "
        # What shall go wrong.
        self.fail_at: Phase | None = None
        self.undone = asyncio.Event()
        """Set where what a failed start made is removed at once."""
        self.undone.set()
        self.failure: CernVMError = StartFailed("The notebook server did not answer; its log has the reason.")
        self.hold_at: Phase | None = None
        self.vanish_at: Phase | None = None
        self.refuse: dict[str, CernVMError] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.addresses_known = True
        self.forget_session_at: Phase | None = None
        self._resume = asyncio.Event()
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._servers: dict[str, Any] = {}
        self._connections: set[asyncio.Task[Any]] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._http: httpserver.HTTPServer | None = None
        self._port = 0

    # --- being there and not ---

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{API_PREFIX}"

    async def __aenter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory()
        self.up()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.down()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for machine_id in list(self._servers):
            await self._stop_server(machine_id)
        assert self._temporary
        self._temporary.cleanup()

    def up(self) -> None:
        app = web.Application([(".*", Handler, {"controller": self})], log_function=lambda _: None)
        self._http = httpserver.HTTPServer(app)
        sockets = netutil.bind_sockets(self._port, "127.0.0.1")
        self._port = sockets[0].getsockname()[1]
        self._http.add_sockets(sockets)

    async def down(self) -> None:
        """Go away: the port is closed, what listened to events is cut off."""
        if self._http:
            self._http.stop()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._http.close_all_connections()
            self._http = None

    def release(self) -> None:
        """Let a start that is held go on."""
        self.hold_at = None
        self._resume.set()

    async def until(self, condition: Any, seconds: float = 30) -> Any:
        """Wait until something is true of the stand-in."""
        async with asyncio.timeout(seconds):
            while not (value := condition()):
                await self._changed.wait()
            return value

    def _touch(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- what it keeps ---

    def only(self) -> Machine:
        """Return the one machine that there is."""
        (machine,) = self.machines.values()
        return machine

    def change(self, machine_id: str, **fields: Any) -> Machine:
        machine = self.machines[machine_id]
        machine = replace(machine, revision=machine.revision + 1, changed=datetime.now(UTC), **fields)
        self.machines[machine_id] = machine
        self.emit("machine.changed", machine)
        return machine

    def emit(self, kind: str, machine: Machine) -> None:
        event = Event(
            id=len(self.events) + 1,
            type=kind,
            subject=f"machine/{machine.id}",
            owner=machine.owner,
            at=datetime.now(UTC),
            data=msgspec.to_builtins(machine),
        )
        self.events.append(event)
        self._touch()

    def create(self, request: MachineCreate) -> tuple[Machine, bool]:
        self.requested.append(request)
        appliance = next((one for one in self.appliances if one.id == (request.appliance or "cernvm")), None)
        flavor = next((one for one in self.flavors if one.id == (request.flavor or "small")), None)
        if appliance is None or flavor is None:
            raise NotFound("There is no such appliance or flavor.")
        for one in self.machines.values():
            if (one.owner, one.server_name) == (request.owner, request.server_name):
                if (one.appliance, one.flavor) != (appliance.id, flavor.id):
                    raise Conflict(f"The server has the machine {one.id} already. Delete it first.")
                return one, False
        number = next(self._ids)
        home = next(
            (
                one
                for one in self.volumes.values()
                if (one.owner, one.server_name) == (request.owner, request.server_name)
            ),
            None,
        )
        if home is not None and home.owner_id not in {None, request.owner_id} and not request.adopt_home:
            raise ForeignHome(f"There is the home {home.id} of another account.")
        if request.home and home is None:
            home = Volume(
                id=f"v-{number}",
                kind=VolumeKind.HOME,
                name=f"home-v-{number}.qcow2",
                pool="p",
                owner=request.owner,
                server_name=request.server_name,
                owner_id=request.owner_id,
                created=UPDATED,
            )
            self.volumes[home.id] = home
        machine = Machine(
            id=f"m-{number}",
            name=request.name or "machine",
            owner=request.owner,
            server_name=request.server_name,
            appliance=appliance.id,
            appliance_title=appliance.title,
            flavor=flavor.id,
            vcpus=request.vcpus or flavor.vcpus,
            memory_mib=request.memory_mib or flavor.memory_mib,
            disk_mib=flavor.disk_mib,
            host="local",
            uuid=f"00000000-0000-5000-8000-{number:012d}",
            address=f"127.80.0.{number % 250 + 1}" if self.addresses_known else None,
            home=home.id if home else None,
            status=Status.PENDING,
            target=Target.STOPPED,
            power=Power.OFF,
            labels=request.labels,
            created=UPDATED,
            changed=UPDATED,
            acceleration="qemu",
            revision=1,
        )
        self.machines[machine.id] = machine
        self.emit("machine.changed", machine)
        return machine, True

    def begin(self, action: str, machine_id: str, work: Any) -> Operation:
        operation = Operation(
            id=f"o-{next(self._ids)}",
            action=f"machine.{action}",
            subject=f"machine/{machine_id}",
            actor="jupyterhub",
            status=OperationStatus.RUNNING,
            cancellable=action == "start",
            created=datetime.now(UTC),
        )
        self.operations[operation.id] = operation

        async def run() -> None:
            try:
                await work()
                self.end(operation.id, OperationStatus.SUCCEEDED)
            except CernVMError as error:
                self.end(operation.id, OperationStatus.FAILED, error)
            except asyncio.CancelledError:
                self.end(operation.id, OperationStatus.CANCELLED)

        self._tasks[operation.id] = asyncio.get_running_loop().create_task(run())
        return operation

    def end(self, operation_id: str, status: OperationStatus, error: CernVMError | None = None) -> None:
        operation = self.operations[operation_id]
        self.operations[operation_id] = replace(
            operation, status=status, error=error.problem() if error else None, finished=datetime.now(UTC)
        )
        self._touch()

    async def cancel(self, operation_id: str) -> Operation:
        operation = self.operations[operation_id]
        if operation.status is OperationStatus.RUNNING:
            task = self._tasks[operation_id]
            task.cancel()
            await asyncio.wait([task])
            if operation.status is OperationStatus.RUNNING:
                self.end(operation_id, OperationStatus.CANCELLED)
            machine_id = operation.subject.removeprefix("machine/")
            if operation.action == "machine.start" and machine_id in self.machines:
                self.change(machine_id, status=Status.STOPPED, target=Target.STOPPED, power=Power.OFF)
        return self.operations[operation_id]

    # --- what machines do ---

    async def start(self, machine_id: str) -> None:
        self.change(
            machine_id,
            status=Status.STARTING,
            target=Target.RUNNING,
            timeline=[],
            error=None,
            power=Power.ON,
            address=self.machines[machine_id].address or f"127.80.1.{next(self._ids) % 250 + 1}",
        )
        for phase, message, percent in PHASES:
            mark = PhaseMark(phase=phase, message=message, progress=percent, at=datetime.now(UTC))
            timeline = [*self.machines[machine_id].timeline, mark]
            self.change(machine_id, phase=phase, progress=percent, timeline=timeline)
            if self.hold_at is phase:
                self._resume.clear()
                await self._resume.wait()
            if self.vanish_at is phase:
                self.gone(machine_id)
                return
            if self.fail_at is phase:
                error = self.failure
                # What the start made is removed before it is written down as failed.
                self.change(
                    machine_id,
                    status=Status.STOPPING,
                    target=Target.STOPPED,
                    error=error.problem(),
                    console_tail=self.console,
                )
                await self.undone.wait()
                self.change(machine_id, status=Status.FAILED, power=Power.OFF)
                raise error
            if phase is Phase.CONTEXT:
                if self.forget_session_at is phase:
                    self.sessions[machine_id].clear()
                if not self.sessions[machine_id]:
                    self.change(machine_id, awaiting_session=True)
                    await self.until(lambda: self.sessions[machine_id])
        await self.serve(machine_id)
        mark = PhaseMark(
            phase=Phase.READY, message="Your notebook server answers", progress=100, at=datetime.now(UTC)
        )
        self.change(
            machine_id,
            status=Status.RUNNING,
            phase=Phase.READY,
            port=self.sessions[machine_id][-1].port,
            timeline=[*self.machines[machine_id].timeline, mark],
        )

    async def stop(self, machine_id: str) -> None:
        for operation in list(self.operations.values()):
            if operation.subject == f"machine/{machine_id}" and operation.action == "machine.start":
                await self.cancel(operation.id)
        await self._stop_server(machine_id)
        if machine_id in self.machines:
            self.change(machine_id, status=Status.STOPPED, target=Target.STOPPED, power=Power.OFF)

    async def delete(self, machine_id: str) -> None:
        if machine_id not in self.machines:
            return
        await self.stop(machine_id)
        self.change(machine_id, status=Status.DELETING, target=Target.DELETED)
        self.gone(machine_id)

    def gone(self, machine_id: str) -> None:
        machine = self.machines.pop(machine_id)
        self.emit("machine.deleted", machine)

    async def serve(self, machine_id: str) -> None:
        """Start what stands for the machine's notebook server, with the files of its session."""
        session = self.sessions[machine_id][-1]
        assert self._temporary
        folder = Path(self._temporary.name) / machine_id
        env = dict(session.env)
        for one in session.files:
            path = folder / Path(one.path).relative_to(GUEST_FILES)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(one.content)
            path.chmod(one.mode)
        env = {name: value.replace(GUEST_FILES, str(folder)) for name, value in env.items()}
        address = self.machines[machine_id].address
        assert address is not None
        env["JUPYTERHUB_SERVICE_URL"] = env["JUPYTERHUB_SERVICE_URL"].replace("0.0.0.0", address)
        if self.real_servers:
            self._servers[machine_id] = await _real_server(session.command, env, folder)
        else:
            self._servers[machine_id] = _small_server(env)

    async def _stop_server(self, machine_id: str) -> None:
        server = self._servers.pop(machine_id, None)
        if isinstance(server, subprocess.Popen):
            server.terminate()
            await asyncio.to_thread(server.wait, 30)
        elif server is not None:
            server.stop()
            await server.close_all_connections()


def _small_server(env: dict[str, str]) -> httpserver.HTTPServer:
    """Serve what the hub asks of a notebook server, where and how its environment says."""
    url = urlsplit(env["JUPYTERHUB_SERVICE_URL"])
    context = None
    if url.scheme == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=env["JUPYTERHUB_SSL_CLIENT_CA"])
        context.load_cert_chain(env["JUPYTERHUB_SSL_CERTFILE"], env["JUPYTERHUB_SSL_KEYFILE"])
        context.verify_mode = ssl.CERT_REQUIRED

    class Api(web.RequestHandler):
        def get(self) -> None:
            self.set_header("X-JupyterHub-Version", "6.1.1")
            self.finish({"version": "0"})

    server = httpserver.HTTPServer(
        web.Application([(".*", Api)], log_function=lambda _: None), ssl_options=context
    )
    server.listen(url.port or 0, url.hostname or "")
    return server


async def _real_server(command: list[str], env: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).with_name(command[0])
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    outside = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "JUPYTERHUB_ROOT_DIR": str(home),
        "JUPYTER_ALLOW_INSECURE_WRITES": "1",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: ASYNC220 - a moment
            [str(program), *command[1:], "--allow-root"], env=env | outside, stdout=log, stderr=log, cwd=home
        )


class Handler(web.RequestHandler):
    """The paths of the contract."""

    ROUTES: ClassVar = [
        ("GET", r"/appliances", "appliances"),
        ("GET", r"/flavors", "flavors"),
        ("GET", r"/machines", "machines"),
        ("POST", r"/machines", "create"),
        ("GET", r"/machines/([^/]+)", "machine"),
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
    ]

    def initialize(self, controller: StandIn) -> None:
        self.it = controller

    def check_xsrf_cookie(self) -> None:
        """Bearer tokens are all there is."""

    async def _answer(self) -> None:
        path = self.request.path.removeprefix(API_PREFIX)
        self.it.requests.append((self.request.method or "", path))
        self.it._touch()
        task = asyncio.current_task()
        assert task is not None
        self.it._connections.add(task)
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
            self.it._connections.discard(task)

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


__all__ = ["APPLIANCES", "FLAVORS", "TOKEN", "MakeSpawner", "StandIn"]
