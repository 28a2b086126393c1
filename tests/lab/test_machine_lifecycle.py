"""The controller and a real libvirt daemon: a tiny guest's whole life, controller restarts included."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import libvirt
import pytest
from lxml import etree

from cernvmapi.errors import Busy, NotFound
from cernvmapi.models import MachineCreate, OperationStatus, Phase, Power, Session, Status
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.check import Check
from cernvmcontroller.commands.clean import Clean
from cernvmcontroller.store import Actor

if TYPE_CHECKING:
    from cernvmcontroller.engine import Engine

pytestmark = pytest.mark.machines

BUILD = Path(__file__).parents[2] / "appliance" / "build"
HUB = "dlifecycle"
HOSTS = [{"name": "here", "uris": ["qemu:///system"]}]
SILENT = {"name": "silent", "uris": ["qemu+unix:///system?socket=/nowhere"], "pool": f"{HUB}-silent"}
ALICE = Actor("alice")
SESSION = Session(env={"JUPYTERHUB_API_TOKEN": "very-secret-token"})


@pytest.fixture(scope="module")
def tiny() -> str:
    """Return the manifest of the tiny guest, built if need be."""
    built = subprocess.run(
        [sys.executable, str(BUILD), "tiny"], check=True, stdout=subprocess.PIPE, text=True
    )
    return built.stdout.strip()


@pytest.fixture
def options(tmp_path, tiny):
    return {
        "state_dir": str(tmp_path),
        "hub_name": HUB,
        "subnet": "10.97.64.0/24",
        "hosts": HOSTS,
        "appliances": [tiny],
        "default_appliance": "tiny",
        "probe_image": tiny,
        "flavors": [{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 128, "disk_mib": 64}],
        "home_mib": 64,
        "shutdown_timeout": 30,
    }


@pytest.fixture
async def program(options):
    """Return a controller whose hub leaves nothing on this machine's libvirt."""
    await Clean(**options).run()
    yield CernVMController(**options)
    await Clean(**options).run()


async def begin(program: CernVMController, stack: AsyncExitStack) -> Engine:
    engine = await program.open(stack)
    await engine.inventory.settled(60)
    return engine


async def finished(engine: Engine, operation_id: str, seconds: float = 180) -> None:
    operation = await engine.operations.wait(operation_id, seconds)
    if operation.status != OperationStatus.SUCCEEDED:
        machine = await engine.machines.get(operation.subject.removeprefix("machine/"))
        raise AssertionError(f"{operation}\n{machine.console_tail}")


async def connected(engine: Engine, machine_id: str) -> None:
    """Wait until the machine's agent is heard again."""
    async with asyncio.timeout(30):
        while (link := engine.links.get(machine_id)) is None or not link.connected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await engine.reconciler.quiet()


async def agrees(options) -> None:
    """Fail where database, pool and domains do not agree; what was found is printed."""
    try:
        await Check(settle=1, **options).run()
    except SystemExit as ended:
        raise AssertionError(f"cernvm-controller check ended with {ended.code}") from None


def isolated(uuid: str) -> str:
    """Return what the kernel says of the port on the bridge: ``1`` where no neighbour hears it."""
    connection = libvirt.open("qemu:///system")
    try:
        domain = etree.fromstring(connection.lookupByUUIDString(uuid).XMLDesc())
    finally:
        connection.close()
    port = domain.find("devices/interface/target").get("dev")
    return Path(f"/sys/class/net/{port}/brport/isolated").read_text().strip()


def left() -> list[str]:
    """Return what libvirt has of our hub."""
    connection = libvirt.open("qemu:///system")
    try:
        found = [
            *connection.listAllDomains(),
            *connection.listAllNetworks(),
            *connection.listAllStoragePools(),
            *connection.listAllNWFilters(),
        ]
        return [each.name() for each in found if each.name().startswith(HUB)]
    finally:
        connection.close()


async def test_a_machine_lives_survives_controllers_and_goes(program, options):
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        machine, new = await engine.machines.create(
            ALICE, MachineCreate(server_name="", notebook=True, home=True), "alice"
        )
        assert new
        assert machine.address == "10.97.64.16"
        await finished(engine, (await engine.machines.start(ALICE, machine.id, SESSION)).id)
        machine = await engine.machines.get(machine.id)
        assert (machine.status, machine.power, machine.phase) == (Status.RUNNING, Power.ON, Phase.READY)
        assert machine.acceleration in ("kvm", "qemu")
        assert "CERNVMHUB-TINY-READY" in (await engine.machines.console(machine.id)).text
        assert isolated(machine.uuid) == "1"

    # The controller ended; the machine did not.
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        await connected(engine, machine.id)
        found = await engine.machines.get(machine.id)
        assert (found.status, found.power, found.awaiting_session) == (Status.RUNNING, Power.ON, False)

    # The database is lost; the machine and its home are found by what libvirt knows.
    last = engine.events.last_id()
    for path in program.state.glob("controller.sqlite*"):
        path.unlink()
    program.hosts = [*HOSTS, SILENT]
    async with AsyncExitStack() as stack:
        engine = await begin(program, stack)
        with pytest.raises(Busy, match="machines of silent are not known"):
            await engine.machines_known()
        assert (await engine.health()).status == "degraded"
        await engine.inventory.links["here"].acceleration
    program.hosts = HOSTS
    async with AsyncExitStack() as stack:
        engine = await program.open(stack)
        await engine.machines_known()
        assert [found.id for found in (await engine.machines.page()).items] == [machine.id]
        event = await anext(engine.events.subscribe(last))
        assert (event.type, event.id > last) == ("reset", True)
        await connected(engine, machine.id)
        found = await engine.machines.get(machine.id)
        assert (found.owner, found.address, found.home) == ("alice", machine.address, machine.home)
        assert (found.status, found.memory_mib, found.vcpus) == (Status.RUNNING, 128, 1)
        await agrees(options)

        await finished(engine, (await engine.machines.shutdown(ALICE, machine.id)).id)
        assert (await engine.machines.get(machine.id)).status == Status.STOPPED
        await agrees(options)
        await finished(engine, (await engine.machines.delete(ALICE, machine.id)).id)
        with pytest.raises(NotFound):
            await engine.machines.get(machine.id)
        homes = (await engine.volumes.page(owner="alice")).items
        assert [volume.id for volume in homes] == [machine.home]
        await engine.volumes.delete(ALICE, machine.home)
        pool = await engine.inventory.links["here"].hypervisor.volumes(HUB)
        assert {volume.name.partition("-")[0] for volume in pool} == {"base"}
        await agrees(options)
    await Clean(**options).run()
    assert left() == []
