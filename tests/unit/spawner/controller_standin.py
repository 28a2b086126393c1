"""A controller that speaks the whole contract and has no machines: it behaves as it is told to.

It keeps a log of requests, can be slow, fail at any phase, lose a machine, go away and come back, and says
what the real one says. In place of a machine it starts a small server, or a real `jupyterhub-singleuser`.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec.structs import replace
from tests.unit.spawner.standin_api import Handler
from tests.unit.spawner.standin_offer import APPLIANCES, FLAVORS, PHASES, UPDATED
from tests.unit.spawner.standin_servers import real_server, small_server
from tornado import httpserver, netutil, web

from cernvmapi.errors import (
    CernVMError,
    Conflict,
    ForeignHome,
    NotFound,
    StartFailed,
)
from cernvmapi.models import (
    API_PREFIX,
    Event,
    Machine,
    MachineChange,
    MachineCreate,
    Operation,
    OperationStatus,
    Phase,
    PhaseMark,
    Power,
    Session,
    Status,
    Target,
    Volume,
    VolumeKind,
)

GUEST_FILES = "/run/cernvmhub"

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
        self.start_timeout = 60.0
        # What shall go wrong.
        self.fail_at: Phase | None = None
        self.undone = asyncio.Event()
        """Set where what a failed start made is removed at once."""
        self.undone.set()
        self.failure: CernVMError = StartFailed("The notebook server did not answer; its log has the reason.")
        self.hold_at: Phase | None = None
        self.hold_of: dict[str, Phase] = {}
        """As `hold_at`, for the machines of these owners."""
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
        self.connections: set[asyncio.Task[Any]] = set()
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
            for task in list(self.connections):
                task.cancel()
            await asyncio.gather(*self.connections, return_exceptions=True)
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

    def touch(self) -> None:
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
        self.touch()

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
        self.touch()

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
            if phase in (self.hold_at, self.hold_of.get(self.machines[machine_id].owner or "")):
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

    def rename(self, machine_id: str, wish: MachineChange) -> Machine:
        """Let a machine, with its home, serve another user or server."""
        fields = {
            name: getattr(wish, name)
            for name in ("owner", "server_name", "owner_id")
            if getattr(wish, name) is not None
        }
        home = self.machines[machine_id].home
        if home is not None:
            self.volumes[home] = replace(self.volumes[home], **fields)
        fields.pop("owner_id", None)
        return self.change(machine_id, **fields)

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
            self._servers[machine_id] = await real_server(session.command, env, folder)
        else:
            self._servers[machine_id] = small_server(env)

    async def _stop_server(self, machine_id: str) -> None:
        server = self._servers.pop(machine_id, None)
        if isinstance(server, subprocess.Popen):
            server.terminate()
            await asyncio.to_thread(server.wait, 30)
        elif server is not None:
            server.stop()
            await server.close_all_connections()
