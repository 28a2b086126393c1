"""Real guests that are cut off, crash, fall silent, or are given up in every phase; a pool that is full."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import libvirt
import pytest

from cernvmapi.errors import NoRoom
from cernvmapi.models import MachineCreate, OperationStatus, Phase, Power, Session, Status
from cernvmcontroller import naming
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.clean import Clean
from cernvmcontroller.store import Actor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cernvmapi.models import Machine, Operation
    from cernvmcontroller.machines.engine import Engine

pytestmark = pytest.mark.machines

BUILD = Path(__file__).parents[2] / "appliance" / "build"
HUB = "guests"
ALICE = Actor("alice")


@pytest.fixture(scope="module")
def tiny() -> str:
    built = subprocess.run(
        [sys.executable, str(BUILD), "tiny"], check=True, stdout=subprocess.PIPE, text=True
    )
    return built.stdout.strip()


@pytest.fixture
def options(tmp_path, tiny):
    return {
        "state_dir": str(tmp_path / "state"),
        "hub_name": HUB,
        "subnet": "10.104.0.0/24",
        # What is probed elsewhere costs a boot here.
        "hosts": [{"name": "here", "uris": ["qemu:///system"], "acceleration": "qemu"}],
        "appliances": [tiny],
        "default_appliance": "tiny",
        "flavors": [{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 128, "disk_mib": 64}],
        "home_mib": 64,
        "shutdown_timeout": 5,
        "agent_stop_timeout": 2,
    }


@pytest.fixture
async def program(options):
    await Clean(**options).run()
    yield CernVMController(**options)
    await Clean(**options).run()


async def begin(program: CernVMController, stack: AsyncExitStack) -> Engine:
    engine = await program.open(stack)
    await engine.inventory.settled(60)
    return engine


async def attempt(
    engine: Engine, command: str, server: str = "", env: dict[str, str] | None = None
) -> tuple[Machine, Operation]:
    machine, _ = await engine.machines.create(
        ALICE, MachineCreate(server_name=server, notebook=True, home=True), "alice"
    )
    session = Session(command=[command], env=env or {})
    operation = await engine.machines.start(ALICE, machine.id, session)
    operation = await engine.operations.wait(operation.id, 120)
    return await engine.machines.get(machine.id), operation


async def volumes(engine: Engine) -> set[str]:
    found = await engine.inventory.links["here"].hypervisor.volumes(HUB)
    return {volume.name.partition("-")[0] for volume in found}


def domains() -> list[str]:
    connection = libvirt.open("qemu:///system")
    try:
        return [each.name() for each in connection.listAllDomains() if each.name().startswith(f"{HUB}-")]
    finally:
        connection.close()


async def test_guests_that_misbehave_fail_their_start_with_the_reason(program):
    program.reach_timeout = 6
    program.server_timeout = 8
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        machine, operation = await attempt(engine, "tiny-offline")
        assert operation.status == OperationStatus.FAILED
        assert f"does not reach it at {machine.address}:8888" in operation.error.detail

        machine, operation = await attempt(engine, "tiny-panic")
        assert "went off while it started (crashed)" in operation.error.detail, operation
        assert "panic+0x" in machine.console_tail

        machine, operation = await attempt(engine, "tiny-stopped")
        assert "did not answer within 30 s" in operation.error.detail, operation
        assert (machine.status, machine.power) == (Status.FAILED, Power.OFF)

        _, operation = await attempt(engine, "tiny-silent")
        assert "its notebook server did not answer within 8 seconds" in operation.error.detail, operation

        # What listens in the tiny guest is a web server for anybody, and no notebook server.
        _, operation = await attempt(engine, "anything", env={"JUPYTERHUB_SERVICE_PREFIX": "/user/alice/"})
        assert "it does not know the path /user/alice/" in operation.error.detail, operation
        _, operation = await attempt(engine, "anything", env={"JUPYTERHUB_SSL_KEYFILE": "/run/key.pem"})
        assert "it does not speak TLS" in operation.error.detail, operation
        assert domains() == []
        assert await volumes(engine) <= {"base", "home"}

        # The same machine starts when its guest behaves.
        machine, operation = await attempt(engine, "anything")
        assert operation.status == OperationStatus.SUCCEEDED, (operation, machine.console_tail)


async def test_an_agent_that_is_stopped_keeps_no_machine_from_ending(program):
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        machine, operation = await attempt(engine, "tiny-asleep")
        assert operation.status == OperationStatus.SUCCEEDED, (operation, machine.console_tail)
        said = await engine.links.get(machine.id).ask("clock", 1, time=0)
        assert said == "The agent did not answer within 1 s."
        # Its server runs, so the machine does.
        assert (await engine.machines.get(machine.id)).status == Status.RUNNING
        operation = await engine.machines.shutdown(ALICE, machine.id)
        assert (await engine.operations.wait(operation.id, 60)).status == OperationStatus.SUCCEEDED
        found = await engine.machines.get(machine.id)
        assert (found.status, found.power, found.error) == (Status.STOPPED, Power.OFF, None)


async def test_a_start_is_cancelled_in_every_phase_and_nothing_is_left(program):
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        for phase, command in (
            (Phase.DISK, "anything"),
            (Phase.BOOT, "anything"),
            (Phase.CONTEXT, "tiny-silent"),
            (Phase.SERVER, "tiny-silent"),
        ):
            machine, _ = await engine.machines.create(
                ALICE, MachineCreate(server_name="", notebook=True, home=True), "alice"
            )
            news = engine.events.subscribe(types={"machine.changed"})
            operation = await engine.machines.start(ALICE, machine.id, Session(command=[command]))
            while (await engine.machines.get(machine.id)).phase is not phase:
                await anext(news)
            await engine.operations.cancel(ALICE, operation.id)
            while (found := await engine.machines.get(machine.id)).status is not Status.STOPPED:
                await anext(news)
            assert (found.error, found.power, found.phase) == (None, Power.OFF, None), phase
            assert domains() == [], phase
            assert await volumes(engine) <= {"base", "home"}, phase
            host = await engine.inventory.host("here")
            assert host.memory_promised_mib == 0, phase


@contextmanager
def small(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", HUB, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def shrink(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", folder], check=True)


@pytest.fixture
def pool(program, tmp_path) -> Iterator[Path]:
    """Give the program a pool of its own memory, which can be full."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp/") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    place = tmp_path / "pool"
    with small(place, "512m"):
        program.pool_path = str(place)
        yield place


async def test_a_pool_that_is_full_in_the_middle_of_a_copy_has_room_again(program, options, pool):
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        # There is room when the machine is placed, and none any more when its base comes.
        request = MachineCreate(server_name="", notebook=True, home=True)
        machine, _ = await engine.machines.create(ALICE, request, "alice")
        shrink(pool)
        operation = await engine.machines.start(ALICE, machine.id, Session())
        operation = await engine.operations.wait(operation.id, 60)
        assert operation.error is not None
        assert operation.error.code == NoRoom.code, operation.error
        assert f"The storage pool {HUB} of the host here is full" in operation.error.detail
        assert await volumes(engine) == set()
        assert list(pool.iterdir()) == []
    await Clean(**options, pool_path=str(pool)).run()


def fill(pool: Path) -> Path:
    """Take all the room that a pool has, also from a guest that writes into it; return what takes it."""
    filler = pool / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
    return filler


async def test_a_machine_goes_on_when_its_full_pool_has_room_again(program, options, pool):
    program.poll_interval = 1
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        machine, operation = await attempt(engine, "tiny-writes")
        assert operation.status == OperationStatus.SUCCEEDED, (operation, machine.console_tail)
        news = engine.events.subscribe(types={"machine.changed"})
        filler = fill(pool)
        async with asyncio.timeout(60):
            while (found := await engine.machines.get(machine.id)).error is None:
                await anext(news)
        assert (found.status, found.power) == (Status.RUNNING, Power.PAUSED)
        assert "its storage is full or failed" in found.error.detail
        filler.unlink()
        async with asyncio.timeout(60):
            while (found := await engine.machines.get(machine.id)).error is not None:
                await anext(news)
        assert (found.status, found.power) == (Status.RUNNING, Power.ON)
        # The agent is there, and what was written goes on growing.
        before = await allocated(engine, machine.home)
        assert await engine.links.get(machine.id).ask("clock", 30, time=time.time()) is None
        async with asyncio.timeout(60):
            while await allocated(engine, machine.home) <= before:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        operation = await engine.machines.delete(ALICE, machine.id)
        assert (await engine.operations.wait(operation.id, 60)).status == OperationStatus.SUCCEEDED
    await Clean(**options, pool_path=str(pool)).run()


async def allocated(engine: Engine, home: str) -> int:
    hypervisor = engine.inventory.links["here"].hypervisor
    state = await hypervisor.volume(HUB, naming.home_volume(home))
    return state.allocation if state else 0
