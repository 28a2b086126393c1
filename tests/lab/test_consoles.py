"""Consoles of real guests over a real WebSocket: typed to and read, seen, lost and found again."""

from __future__ import annotations

import asyncio
import io
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tests.fixtures import rfb
from tests.lab.relay import relay
from tests.unit.hypervisor.bench import tiny_image, until
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import FakeHub

from cernvmapi import AsyncClient
from cernvmapi.consoles import ConsoleKind
from cernvmapi.models import API_PREFIX, MachineCreate, Power, Status
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.clean import Clean
from cernvmcontroller.store import Actor
from cernvmcontroller.web.server import Listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cernvmapi.consolestream import AsyncConsoleStream
    from cernvmapi.models import Machine
    from cernvmcontroller.engine import Engine

pytestmark = pytest.mark.machines

HUB = "consoles"
ALICE = Actor("alice")
READY = b"CERNVMHUB-TINY-READY"


class Site:
    """A controller that listens, and a machine of Alice's that runs."""

    def __init__(self, engine: Engine, url: str, machine: Machine) -> None:
        self.engine, self.url, self.machine = engine, url, machine

    def client(self, token: str = "alice-write") -> AsyncClient:
        return AsyncClient(self.url, token)


@asynccontextmanager
async def site(folder: Path, uri: str = "qemu:///system") -> AsyncIterator[Site]:
    """Serve a controller on a libvirt connection, and leave nothing on this machine."""
    manifest = str(tiny_image().with_name("manifest.json"))
    options = {
        "state_dir": str(folder),
        "hub_name": HUB,
        "subnet": "10.109.0.0/24",
        "hosts": [{"name": "here", "uris": [uri], "acceleration": "qemu"}],
        "appliances": [manifest],
        "default_appliance": "tiny",
        "flavors": [{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 128, "disk_mib": 64}],
    }
    await Clean(**options).run()
    try:
        async with AsyncExitStack() as stack:
            engine = await CernVMController(**options).open(stack)
            await engine.inventory.settled(60)
            hub = FakeHub()
            hub.start()
            stack.push_async_callback(hub.stop)
            listeners = Listeners(services_for(engine, hub))
            port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
            stack.push_async_callback(listeners.close)
            machine, _ = await engine.machines.create(ALICE, MachineCreate(start=True), "alice")
            yield Site(engine, f"http://127.0.0.1:{port}{API_PREFIX}", machine)
    finally:
        await Clean(**{**options, "hosts": [{"name": "here", "uris": ["qemu:///system"]}]}).run()


async def read_until(console: AsyncConsoleStream, mark: bytes, seconds: float = 60) -> bytes:
    heard = b""
    async with asyncio.timeout(seconds):
        while mark not in heard:
            data = await console.read()
            assert data, f"it ended ({console.ended}) after {heard[-500:]!r}"
            heard += data
    return heard


async def heard_by_the_guest(console: AsyncConsoleStream, text: bytes) -> None:
    """Type a line until the guest repeats it: what is typed while the line is lost is lost too."""
    async with asyncio.timeout(60):
        while True:
            try:
                await console.write(text + b"\n")
                await read_until(console, b"CERNVMHUB-TINY-HEARD " + text, 3)
            except TimeoutError:
                continue
            return


async def test_a_machine_is_watched_from_its_boot_typed_to_and_seen(tmp_path: Path) -> None:
    async with site(tmp_path) as made, made.client() as alice, made.client("carol-admin") as carol:
        machine = made.machine.id
        async with alice.console(machine) as console:
            booted = await read_until(console, READY)
            assert console.position is not None
            assert console.position.offset == len(booted)
            await heard_by_the_guest(console, b"hello")
            async with carol.console(machine) as another:
                assert READY in await read_until(another, b"HEARD hello"), "what came before is shown first"
                await another.write(b"from carol\n")
                await read_until(console, b"HEARD from carol")
            position = console.position
        async with carol.console(machine) as another:
            await heard_by_the_guest(another, b"meanwhile")
        async with alice.console(machine, after=position) as console:
            came = await read_until(console, b"HEARD meanwhile")
            assert b"HEARD hello" not in came
            assert not console.truncated

        async with (
            alice.console(machine, ConsoleKind.VNC) as screen,
            carol.console(machine, ConsoleKind.VNC, view_only=True) as looking,
        ):
            for each in (screen, looking):
                viewer = rfb.Viewer(each.read, each.write)
                await viewer.shake_hands()
                picture = await viewer.picture()
                assert len(picture) == viewer.width * viewer.height * 4
                assert len(set(picture)) > 1, "all pixels are the same: nothing was written on the screen"

        png = Image.open(io.BytesIO(await alice.machines.screenshot(machine)))
        assert (png.format, png.size) == ("PNG", (viewer.width, viewer.height))
        await alice.machines.press(machine, "shift", text="a")

        audit = await carol.audit.list(action="machine.console")
        assert [row.actor for row in reversed(audit.items)] == [
            "alice",
            "carol",
            "carol",
            "alice",
            "alice",
            "carol",
        ]

        async with alice.console(machine) as console, alice.console(machine, ConsoleKind.VNC) as screen:
            await carol.machines.poweroff(machine, wait=True, timeout=60)
            async with asyncio.timeout(30):
                while await console.read():
                    pass
                while await screen.read():
                    pass
        assert (await made.engine.machines.get(machine)).power is Power.OFF


async def test_a_daemon_that_goes_and_comes_costs_a_viewer_nothing_but_time(tmp_path: Path) -> None:
    async with (
        relay(tmp_path / "libvirt.sock") as network,
        site(tmp_path / "state", network.uri) as made,
        made.client() as alice,
        alice.console(made.machine.id) as console,
    ):
        machine = made.machine.id
        await read_until(console, READY)
        await heard_by_the_guest(console, b"before")
        began = made.engine.events.last_id()
        await network.hang_up()
        async with asyncio.timeout(30):
            async for _ in made.engine.events.subscribe(began):
                if (await made.engine.machines.get(machine)).power is Power.UNKNOWN:
                    break
        await network.listen()
        await until(lambda: machine in made.engine.consoles._streams, 60)
        await heard_by_the_guest(console, b"after")
        assert (await made.engine.machines.get(machine)).status is Status.RUNNING
