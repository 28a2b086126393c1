"""An agent that plays a guest's part as a test wants it, and a controller on fake hosts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cernvmapi.models import Machine, MachineCreate, OperationStatus, Session, Status
from cernvmcontroller.engine import Engine
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.fakehost import FakeHost
from cernvmcontroller.hypervisor.specs import FilterSpec, NetworkSpec, PoolSpec
from cernvmcontroller.inventory import (
    DEFAULT_FLAVORS,
    Defaults,
    HostSpec,
    Inventory,
    attached,
    load_flavors,
)
from cernvmcontroller.machines.settings import Settings
from cernvmcontroller.repository import Repository
from cernvmcontroller.store import Actor, Store
from cernvmcontroller.upkeep.agreement import UNDER_WAY, compare
from cernvmcontroller.upkeep.inspection import Look, look

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from killer import Killer

    from cernvmcontroller.hypervisor.interface import ByteStream
    from cernvmcontroller.web.metrics import Metrics

HUB = "0b5c9b3e-7f51-4f0e-9d29-6f3b1f0a7c11"
ALICE, BOB = Actor("alice"), Actor("bob")
SESSION = Session(env={"JUPYTERHUB_API_TOKEN": "very-secret-token"})


@dataclass
class Guest:
    """The agent in a machine, and what a test lets it do."""

    boot: int = 0
    session: str | None = None
    state: str = "waiting"
    protocol: int = 1
    silent: bool = False
    """It never says hello."""
    refuses: str | None = None
    """Why it takes no session."""
    fails: str | None = None
    """Why the server does not start."""
    slow: bool = False
    """The server starts only when the test says so."""
    wrong_session: bool = False
    clock_off: float = 0
    """Seconds by which its clock is wrong; by more than a minute, and it takes no certificate."""
    first: bytes = b""
    """What it says before anything else."""
    heard: list[dict[str, Any]] = field(default_factory=list)
    stream: ByteStream | None = None
    on_stop: Callable[[], None] | None = None

    async def say(self, kind: str, **fields: Any) -> None:
        assert self.stream is not None
        await self.stream.write(json.dumps({"type": kind, **fields}).encode() + b"\n")

    async def hello(self) -> None:
        await self.say(
            "hello",
            protocol=self.protocol,
            agent="0.1.0",
            boot_id=f"boot-{self.boot}",
            state=self.state,
            session=self.session,
            hostname="guest",
        )

    async def ready(self) -> None:
        if self.wrong_session:
            await self.say("ready", session="s-lie", port=8888)
            return
        self.state = "ready"
        await self.say("ready", session=self.session, port=8888)

    async def exited(self, code: int, log: str = "") -> None:
        self.state = "exited"
        await self.say("exited", session=self.session, code=code, log_tail=log)

    async def play(self, stream: ByteStream) -> None:
        self.stream = stream
        if self.silent:
            while await stream.read():
                pass
            return
        if self.first:
            await stream.write(self.first)
        rest = b""
        while data := await stream.read():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                await self.answer(json.loads(line))

    async def answer(self, message: dict[str, Any]) -> None:
        self.heard.append(message)
        match message["type"]:
            case "query":
                await self.hello()
            case "welcome":
                self.clock_off = message["time"] - time.time()
            case "session":
                if self.refuses:
                    await self.say("reply", id=message["id"], ok=False, error=self.refuses)
                    return
                same = self.session == message["session"]
                self.session = message["session"]
                await self.say("reply", id=message["id"], ok=True)
                if same and self.state == "ready":
                    return
                self.state = "starting"
                await self.say("phase", phase="home", message="mounting")
                await self.say("phase", phase="server", message="starting")
                if abs(self.clock_off) > 60:
                    self.fails = "certificate is not yet valid"
                if self.fails:
                    self.state = "failed"
                    await self.say(
                        "failed",
                        session=self.session,
                        phase="server",
                        reason=self.fails,
                        log_tail="ImportError: x",
                    )
                elif not self.slow:
                    await self.ready()
            case "stop" | "clock":
                await self.say("reply", id=message["id"], ok=True)


class Lab:
    """Fake hosts that outlive controllers, guests that outlive connections, and one controller at a time."""

    def __init__(self, folder: Path, hosts: int = 1) -> None:
        self.folder = folder
        self.hosts = {f"host{n}": FakeHost() for n in range(1, hosts + 1)}
        self.spare: dict[str, FakeHost] = {}
        """Hosts that are not configured, by their addresses: they can be attached."""
        self.hypervisors: dict[str, FakeHypervisor] = {}
        self.guests: dict[str, Guest] = {}
        """By domain UUID."""
        self.template: dict[str, Any] = {}
        """What new guests are like."""
        self.database = folder / "controller.sqlite"
        self.url = f"sqlite+aiosqlite:///{self.database}"
        self.settings = Settings(
            hub_name="labhub",
            boot_timeout=10,
            session_timeout=10,
            server_timeout=10,
            reach_timeout=0,
            agent_stop_timeout=2,
            shutdown_timeout=2,
            retry=0.01,
            wait_interval=0.05,
            max_attempts=2,
        )
        self.manifest = self._manifest("apple")
        self.store: Store | None = None
        self.engine: Engine | None = None
        self.metrics: Metrics | None = None
        self.prepare: Callable[[str, FakeHypervisor], None] | None = None
        self.killer: Killer | None = None
        self.disagrees = ""
        """Why database and hosts may differ at the end of the test."""

    def _manifest(self, name: str, **changes: Any) -> Path:
        folder = self.folder / name
        folder.mkdir()
        header = b"QFI\xfb" + b"\0" * 20 + (2 * 1024**3).to_bytes(8) + name.encode()
        (folder / "appliance.qcow2").write_bytes(header)
        record = {
            "id": name,
            "title": name.title(),
            "version": "1",
            "sha256": hashlib.sha256(header).hexdigest(),
            "size": len(header),
            "virtual_size_mib": 2048,
            "agent_protocol": 1,
            "updated": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
            "file": "appliance.qcow2",
            **changes,
        }
        path = folder / "manifest.json"
        path.write_text(json.dumps(record))
        return path

    def _hypervisor(self, uri: str) -> FakeHypervisor:
        name = urlsplit(uri).hostname or ""
        hypervisor = FakeHypervisor(uri, host={**self.hosts, **self.spare}[name], deadline=0.3)

        async def on_channel(uuid: str, _name: str, stream: ByteStream) -> None:
            await self.guest(uuid).play(stream)

        hypervisor.on_channel = on_channel
        self.hypervisors[name] = hypervisor
        if self.killer is not None:
            self.killer.watch(hypervisor)
        if self.prepare is not None:
            self.prepare(name, hypervisor)
        return hypervisor

    def guest(self, uuid: str) -> Guest:
        if uuid not in self.guests:
            self.guests[uuid] = Guest(**self.template)
        return self.guests[uuid]

    def specs(self) -> list[HostSpec]:
        """Return the hosts as they are configured."""
        return [
            HostSpec(
                name=name,
                uri=f"fake://{name}",
                pool=PoolSpec(f"labhub-{name}", f"/pool/{name}"),
                network=NetworkSpec("labhub", "labbr0", IPv4Network("10.80.0.0/20"), hosts=100),
                filter=FilterSpec("labhub", "10.80.0.1"),
            )
            for name in self.hosts
        ]

    def defaults(self) -> Defaults:
        """Return what exists on a host that is attached."""
        return Defaults(
            pool=PoolSpec("labhub", "/pool/labhub"),
            network=NetworkSpec("labhub", "labbr0", IPv4Network("10.80.0.0/20"), hosts=100),
            filter=FilterSpec("labhub", "10.80.0.1"),
            credentials=self.folder / "credentials",
        )

    async def begin(self) -> Engine:
        """Start a controller, as after a crash of the one before."""
        specs = self.specs()
        self.store = await Store.open(self.url, HUB)
        if self.killer is not None:
            self.killer.watch_store(self.store)
        inventory = Inventory(
            self.store,
            specs,
            self._hypervisor,
            flavors=load_flavors(DEFAULT_FLAVORS, "small"),
            measures=self.metrics,
            attached=partial(attached, defaults=self.defaults()),
        )
        repository = Repository(self.store, [self.manifest], None, self.folder / "state")
        self.engine = Engine(HUB, self.store, inventory, repository, self.settings, measures=self.metrics)
        await self.engine.start()
        await inventory.settled(5)
        return self.engine

    async def end(self) -> None:
        """End the controller, wherever it is; hosts and guests go on."""
        if self.engine is not None:
            await self.engine.close()
            self.engine = None
        if self.store is not None:
            await self.store.close()
            self.store = None

    async def check(self) -> Look:
        """Look whether the database and the hosts agree; the controller may run."""
        specs = list(self.engine.inventory.specs.values()) if self.engine else self.specs()
        there = {**self.hosts, **self.spare}
        hypervisors = {
            spec.name: FakeHypervisor(host=there[urlsplit(spec.uri).hostname or ""]) for spec in specs
        }
        for hypervisor in hypervisors.values():
            await hypervisor.open()
        store = self.store or await Store.open(self.url, HUB)
        try:
            async with store.read() as session:
                return await look(HUB, session, specs, hypervisors, self.settings.keep_unused)
        finally:
            if store is not self.store:
                await store.close()

    async def agrees(self) -> None:
        """Fail where the database and the hosts do not agree, and go on not agreeing while nothing moves."""
        deadline = asyncio.get_running_loop().time() + (5 if self.engine else 0)
        while found := compare((await self.check()).site):
            if asyncio.get_running_loop().time() >= deadline:
                said = [f"{each.kind} {each.object}: {each.sentence}" for each in found]
                raise AssertionError("database and hosts do not agree:\n" + "\n".join(said))
            await asyncio.sleep(0.02)

    async def settle(self, seconds: float = 20) -> None:
        """Be the hub until nothing is under way: send the sessions that are waited for."""
        assert self.engine is not None
        async with asyncio.timeout(seconds):
            while True:
                page = await self.engine.machines.page()
                for machine in page.items:
                    if machine.awaiting_session:
                        await self.engine.machines.put_session(ALICE, machine.id, SESSION)
                running = await self.engine.operations.page(status=[OperationStatus.RUNNING])
                if not running.total and not any(found.status in UNDER_WAY for found in page.items):
                    return
                await asyncio.sleep(0.02)

    async def restart(self) -> Engine:
        await self.end()
        return await self.begin()

    def lose_database(self) -> None:
        for path in self.folder.glob("controller.sqlite*"):
            path.unlink()

    @property
    def host(self) -> FakeHost:
        return self.hosts["host1"]

    @property
    def hypervisor(self) -> FakeHypervisor:
        return self.hypervisors["host1"]

    def volumes(self, host: str = "host1") -> set[str]:
        pool = self.hosts[host].pools.get(f"labhub-{host}")
        return set(pool.volumes) if pool else set()

    async def create(self, actor: Actor = ALICE, **fields: Any) -> Machine:
        assert self.engine is not None
        request = {"server_name": "", "notebook": True, "home": True, **fields}
        machine, _ = await self.engine.machines.create(actor, MachineCreate(**request), actor.name)
        return machine

    async def started(self, actor: Actor = ALICE, **fields: Any) -> Machine:
        assert self.engine is not None
        machine = await self.create(actor, **fields)
        operation = await self.engine.machines.start(actor, machine.id, SESSION)
        done = await self.engine.operations.wait(operation.id, 10)
        assert done.status == "succeeded", done
        return await self.engine.machines.get(machine.id)

    async def until(self, machine: str, *wanted: Status, seconds: float = 10) -> Machine:
        """Wait until a machine has one of these statuses."""
        return await self.until_true(machine, lambda found: found.status in wanted, seconds)

    async def until_true(
        self, machine: str, check: Callable[[Machine], bool], seconds: float = 10
    ) -> Machine:
        engine = self.engine
        assert engine is not None
        news = engine.events.subscribe(types={"machine.changed"})
        async with asyncio.timeout(seconds):
            while not check(found := await engine.machines.get(machine)):
                await anext(news)
        return found


async def eventually(check: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for a condition of the fakes, which tell nobody."""
    async with asyncio.timeout(seconds):
        while True:
            result = check()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.01)
