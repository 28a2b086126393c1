"""Machines that go from one real host to another: live, at rest, broken off, and when something breaks."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import libvirt
import pytest
from tests.lab.hosts import hosts
from tests.lab.hosts.host import SHARED
from tests.lab.site import ALICE, HUB, Site, agrees, until

from cernvmapi.errors import Conflict
from cernvmapi.hosts import DrainRequest, EvacuateRequest, HostChange
from cernvmapi.lifecycle import MoveRequest
from cernvmapi.models import MachineCreate, Operation, OperationStatus, Power, Status
from cernvmcontroller import naming
from cernvmcontroller.store import Actor, machines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cernvmapi.models import Machine
    from cernvmcontroller.hypervisor.interface import DomainState

pytestmark = pytest.mark.machines

ROOT = Actor("root")
PATIENCE = 150
"""Seconds: a call that a host does not answer is given up after 30, and everything is asked again."""
UP = "CERNVMHUB-TINY-READY"


@asynccontextmanager
async def lab(folder: Path, *, shared: bool = False) -> AsyncIterator[Site]:
    """Yield a controller with two hosts, with a pool each or one in common."""
    (folder / "state").mkdir(mode=0o700)
    async with hosts(2) as made:
        changes: dict[str, Any] = {}
        if shared:
            pool = {"pool": f"{HUB}-both", "pool_path": f"{SHARED}/{HUB}", "shared": True}
            changes["hosts"] = [
                {"name": host.name, "uris": [host.tls_uri], "acceleration": "qemu", **pool} for host in made
            ]
        site = Site(made, folder / "state", **changes)
        await site.begin()
        try:
            yield site
        finally:
            await site.end()


async def move(site: Site, machine: Machine, host: str = "beta") -> Operation:
    return await site.engine.moves.move(ROOT, machine.id, MoveRequest(host=host))


async def tidied(site: Site, machine: Machine) -> Machine:
    """Return the machine when nothing of a move is left anywhere."""

    async def done() -> bool:
        async with site.engine.store.read() as session:
            row = await machines.get(session, machine.id)
        return row.moving_to is None and row.moved_from is None

    await until(done, PATIENCE)
    return await site.get(machine.id)


def boots(site: Site, machine: Machine) -> int:
    """Return how often the guest came up, as far as its console tells."""
    return site.engine.consoles.text(machine.id)[0].count(UP)


def runs_on(site: Site, machine: Machine) -> list[str]:
    """Return the hosts on which the machine runs, as libvirt says it; one that only comes in does not."""
    found = []
    for name, host in site.hosts.items():
        try:
            connection = libvirt.open(host.uri)
        except libvirt.libvirtError:
            continue  # it has no power
        try:
            if connection.lookupByUUIDString(machine.uuid).state()[0] == libvirt.VIR_DOMAIN_RUNNING:
                found.append(name)
        except libvirt.libvirtError:
            continue
        finally:
            connection.close()
    return found


@pytest.mark.parametrize("shared", [False, True], ids=["a pool each", "one pool"])
async def test_a_running_machine_goes_there_and_back_and_does_not_notice(
    tmp_path: Path, shared: bool
) -> None:
    async with lab(tmp_path, shared=shared) as site:
        machine = await site.running("alpha", home=True)
        await site.answers(machine, "before")
        for host, other in (("beta", "alpha"), ("alpha", "beta")):
            await site.done(await move(site, machine, host), seconds=PATIENCE)
            found = await tidied(site, machine)
            assert (found.host, found.status, found.power) == (host, Status.RUNNING, Power.ON)
            assert found.address == machine.address
            assert (runs_on(site, machine), site.domains(other)) == ([host], {})
            await site.answers(machine, f"on-{host}")
        assert boots(site, machine) == 1
        if not shared:
            own = {naming.disk_volume(machine.id), naming.home_volume(machine.home or "")}
            assert own <= site.volumes("alpha")
            assert {name for name in site.volumes("beta") if not name.startswith("layer-")} == set()
        await agrees(site.options)
        await site.remove(machine.id)


async def test_a_machine_that_is_off_goes_with_its_disk_and_home_and_starts_there(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        machine = await site.running("alpha", home=True)
        await site.done(await site.engine.machines.shutdown(ALICE, machine.id))
        await site.done(await move(site, machine), seconds=PATIENCE)
        found = await tidied(site, machine)
        assert (found.host, found.status, site.domains("alpha")) == ("beta", Status.STOPPED, {})
        assert {name for name in site.volumes("alpha") if not name.startswith("layer-")} == set()
        await agrees(site.options)
        await site.done(await site.engine.machines.start(ALICE, machine.id, None))
        assert runs_on(site, machine) == ["beta"]
        await site.answers(machine, "hello")
        await site.remove(machine.id)


async def test_hosts_without_certificates_for_it_hand_nothing_over_in_clear(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        machine = await site.running("alpha")
        shutil.rmtree(site.hosts["beta"].place.folder / "etc" / "pki-qemu")
        operation = await move(site, machine)
        await site.done(operation, OperationStatus.FAILED, PATIENCE)
        failed = await site.engine.operations.get(operation.id)
        assert failed.error is not None
        assert "cannot encrypt what is moved" in failed.error.detail
        found = await tidied(site, machine)
        assert (found.host, found.power, runs_on(site, machine)) == ("alpha", Power.ON, ["alpha"])
        assert {name for name in site.volumes("beta") if not name.startswith("layer-")} == set()
        await site.answers(machine, "still-here")
        await site.remove(machine.id)


async def under_way(site: Site, machine: Machine) -> Operation:
    """Begin a slow move and return when the machine's memory is on its way."""
    domain = site.domain("alpha", machine)
    domain.migrateSetMaxSpeed(1)  # MiB/s
    operation = await move(site, machine)

    async def coming() -> bool:
        there: DomainState | None = await site.hypervisor("beta").domain(machine.uuid)
        return there is not None

    await until(coming, 60)
    return operation


async def test_a_move_is_cancelled_under_way(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        machine = await site.running("alpha", home=True)
        operation = await under_way(site, machine)
        await site.engine.operations.cancel(ROOT, operation.id)
        found = await tidied(site, machine)
        assert (found.host, found.power, runs_on(site, machine)) == ("alpha", Power.ON, ["alpha"])
        assert site.domains("beta") == {}
        await site.answers(machine, "still-here")
        assert boots(site, machine) == 1
        await agrees(site.options)
        await site.remove(machine.id)


async def test_a_controller_that_ends_under_way_finds_the_machine_on_one_host(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        machine = await site.running("alpha", home=True)
        await under_way(site, machine)
        await site.end()
        await site.begin()
        found = await tidied(site, machine)
        assert runs_on(site, machine) == [found.host]
        assert (found.status, found.power) == (Status.RUNNING, Power.ON)
        await site.answers(machine, "still-here")
        await agrees(site.options)
        await site.remove(machine.id)


@pytest.mark.parametrize("lost", ["alpha", "beta"])
@pytest.mark.parametrize("how", ["daemon killed", "cable cut"])
async def test_a_host_that_is_lost_under_way_does_not_make_two_of_the_machine(
    tmp_path: Path, lost: str, how: str
) -> None:
    async with lab(tmp_path) as site:
        machine = await site.running("alpha", home=True)
        operation = await under_way(site, machine)
        host = site.hosts[lost]
        if how == "daemon killed":
            host.kill_daemon()
            await host.restart_daemon()
        else:
            host.cut()

            async def noticed() -> bool:
                return not site.engine.inventory.alive(lost)

            await until(noticed, 60)
            assert len(runs_on(site, machine)) == 1
            host.mend()
        ended = await site.engine.operations.wait(operation.id, PATIENCE)
        assert ended.status is not OperationStatus.RUNNING, ended
        found = await tidied(site, machine)
        assert runs_on(site, machine) == [found.host]
        await site.becomes(machine.id, Status.RUNNING, Power.ON)
        await site.answers(machine, "still-here")
        assert boots(site, machine) == 1
        await site.remove(machine.id)


# --- whole hosts ---


async def test_a_host_is_drained_while_its_machines_run(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        made = [await site.running("alpha", home=home) for home in (True, False)]
        operation = await site.engine.drains.drain(ROOT, "alpha", DrainRequest())
        ended = await site.engine.operations.wait(operation.id, PATIENCE)
        assert ended.status is OperationStatus.SUCCEEDED, ended
        for machine in made:
            assert (await tidied(site, machine)).host == "beta"
            assert runs_on(site, machine) == ["beta"]
            await site.answers(machine, "moved")
            assert boots(site, machine) == 1
        assert site.domains("alpha") == {}
        await agrees(site.options)
        for machine in made:
            await site.remove(machine.id)


async def test_the_machines_of_a_host_without_power_start_elsewhere_and_go_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path, shared=True) as site:
        machine = await site.running("alpha", home=True)
        alpha = site.hosts["alpha"]
        alpha.power_loss()
        await site.becomes(machine.id, Status.RUNNING, Power.UNKNOWN, 60)
        with pytest.raises(Conflict, match="make sure that it stays off"):
            await site.engine.evacuation.evacuate(ROOT, "alpha", EvacuateRequest())
        done = await site.engine.evacuation.evacuate(ROOT, "alpha", EvacuateRequest(is_off=True))
        assert done.status is OperationStatus.SUCCEEDED, done
        found = await site.becomes(machine.id, Status.RUNNING, Power.ON, 60)
        assert (found.host, found.home, runs_on(site, machine)) == ("beta", machine.home, ["beta"])
        await site.answers(machine, "elsewhere")
        await alpha.start()
        await tidied(site, machine)
        assert site.domains("alpha") == {}
        assert runs_on(site, machine) == ["beta"]
        await agrees(site.options)
        await site.remove(machine.id)


async def test_a_home_comes_to_the_host_where_there_is_room(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        first = await site.running("alpha", home=True)
        deleting = await site.engine.machines.delete(ALICE, first.id)
        assert (await site.engine.operations.wait(deleting.id, 45)).status is OperationStatus.SUCCEEDED
        home = naming.home_volume(first.home or "")
        assert home in site.volumes("alpha")
        await site.engine.hosts.change(ROOT, "alpha", HostChange(maintenance=True))
        request = MachineCreate(appliance="tiny", home=True, server_name="")
        machine, _ = await site.engine.machines.create(ALICE, request, "alice")
        assert (machine.host, machine.home) == ("beta", first.home)
        await site.done(await site.engine.machines.start(ALICE, machine.id, None))
        await tidied(site, machine)
        assert home in site.volumes("beta")
        assert {name for name in site.volumes("alpha") if not name.startswith("layer-")} == set()
        await site.answers(machine, "at-home")
        await agrees(site.options)
        await site.remove(machine.id)
