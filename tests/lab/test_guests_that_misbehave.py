"""Real guests that are cut off, crash, fall silent, or are given up in every phase; a pool that is full."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager
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
    from cernvmcontroller.engine import Engine

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


@pytest.fixture
def mute(tiny, tmp_path) -> str:
    """Return the manifest of a tiny guest that boots without the driver of its agent's port."""
    said = json.loads(Path(tiny).read_text())
    raw, image = tmp_path / "mute.raw", tmp_path / "mute.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "raw", Path(tiny).parent / said["file"], raw], check=True)
    content = raw.read_bytes()
    options = b"loglevel=7 panic=10 mitigations=off"
    assert content.count(options) == 1
    # As long as what it takes the place of, so that nothing else on the disk moves.
    raw.write_bytes(content.replace(options, b"module_blacklist=virtio_console".ljust(len(options))))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image], check=True)
    content = image.read_bytes()
    changes = {
        "id": "mute",
        "file": image.name,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(said | changes))
    return str(manifest)


async def test_a_start_that_waits_too_long_for_agent_or_session_ends_with_that_reason(program, mute):
    program.appliances = [*program.appliances, mute]
    program.boot_timeout = 25
    program.session_timeout = 3
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        for appliance, session, reason in (
            ("mute", Session(), "did not come up within 25 seconds: its agent never answered"),
            ("tiny", None, "waits for its session, which nobody sent within 3 seconds"),
        ):
            request = MachineCreate(server_name=appliance, notebook=True, home=True, appliance=appliance)
            machine, _ = await engine.machines.create(ALICE, request, "alice")
            operation = await engine.machines.start(ALICE, machine.id, session)
            operation = await engine.operations.wait(operation.id, 120)
            machine = await engine.machines.get(machine.id)
            assert operation.status == OperationStatus.FAILED, (operation, machine.console_tail)
            assert reason in operation.error.detail, (operation, machine.console_tail)
            # It was up: what it said at its console is kept.
            assert "CERNVMHUB-TINY-READY" in machine.console_tail
            assert (machine.status, machine.power) == (Status.FAILED, Power.OFF)
            assert domains() == [], appliance
            assert await volumes(engine) <= {"base", "home"}, appliance
            assert (await engine.inventory.host("here")).memory_promised_mib == 0, appliance


@contextmanager
def memory(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", HUB, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def resize(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


@pytest.fixture
def pool(program) -> Iterator[Path]:
    """Give the program a pool of its own memory, which can be full."""
    # Not pytest's: others must get to it, and the next run of pytest closes those.
    folder = Path(tempfile.mkdtemp(prefix="cernvmhub-pool-"))
    folder.chmod(0o711)
    place = folder / "pool"
    with memory(place, "2g"):
        program.pool_path = str(place)
        yield place
    shutil.rmtree(folder)


async def test_a_pool_that_is_full_in_the_middle_of_a_copy_has_room_again(program, options, pool):
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        # There is room when the machine is placed, and none any more when its base comes.
        request = MachineCreate(server_name="", notebook=True, home=True)
        machine, _ = await engine.machines.create(ALICE, request, "alice")
        resize(pool, "4m")
        operation = await engine.machines.start(ALICE, machine.id, Session())
        operation = await engine.operations.wait(operation.id, 60)
        assert operation.error is not None
        assert operation.error.code == NoRoom.code, operation.error
        assert f"The storage pool {HUB} of the host here is full" in operation.error.detail
        assert await volumes(engine) == set()
        assert list(pool.iterdir()) == []
    await Clean(**options, pool_path=str(pool)).run()


async def test_a_machine_goes_on_when_its_full_pool_has_room_again(program, options, pool):
    program.poll_interval = 1
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        machine, operation = await attempt(engine, "tiny-writes")
        assert operation.status == OperationStatus.SUCCEEDED, (operation, machine.console_tail)
        news = engine.events.subscribe(types={"machine.changed"})
        taken = os.statvfs(pool)
        resize(pool, str((taken.f_blocks - taken.f_bfree) * taken.f_frsize + 1024 * 1024))
        async with asyncio.timeout(60):
            while (found := await engine.machines.get(machine.id)).error is None:
                await anext(news)
        assert (found.status, found.power) == (Status.RUNNING, Power.PAUSED)
        assert "its storage is full or failed" in found.error.detail
        resize(pool, "2g")
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
