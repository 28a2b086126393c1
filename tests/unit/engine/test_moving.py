"""Machines that are moved from one fake host to another; hosts and controllers that are lost meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from scripted import ALICE, BOB, SESSION, eventually

from cernvmapi.errors import Conflict, HypervisorFailed, NoRoom
from cernvmapi.lifecycle import MoveRequest
from cernvmapi.models import OperationStatus, Power, Status
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.fakehost import FakeDomain
from cernvmcontroller.hypervisor.interface import DomainState
from cernvmcontroller.moving.outcome import SILENT, Outcome, decide, seen
from cernvmcontroller.store import Actor, inventory, machines

ROOT = Actor("root")
PLAIN = {"notebook": False, "home": False, "server_name": None}


async def move(lab, machine, host="host2"):
    return await lab.engine.moves.move(ROOT, machine.id, MoveRequest(host=host))


async def ended(lab, operation, status=OperationStatus.SUCCEEDED):
    found = await lab.engine.operations.wait(operation.id, 10)
    assert found.status is status, found
    return found


async def tidied(lab, machine):
    """Wait until nothing of a move is left."""

    async def done():
        async with lab.store.read() as session:
            row = await machines.get(session, machine.id)
            return row.moving_to is None and row.moved_from is None

    await eventually(done)
    return await lab.engine.machines.get(machine.id)


def on(lab, machine):
    """Return the hosts on which a machine's domain is not off."""
    return [
        name
        for name, host in lab.hosts.items()
        if machine.uuid in host.domains and host.domains[machine.uuid].power is not Power.OFF
    ]


# --- moves that go well ---


async def test_a_running_machine_moves_with_its_disk_and_its_home_and_its_server_runs_on(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    session = lab.guest(machine.uuid).session
    await ended(lab, await move(lab, machine))
    found = await tidied(lab, machine)
    assert (found.host, found.status, found.power) == ("host2", Status.RUNNING, Power.ON)
    assert (found.address, found.moving_to) == (machine.address, None)
    assert on(lab, machine) == ["host2"]
    assert machine.uuid not in lab.hosts["host1"].domains
    own = {naming.disk_volume(machine.id), naming.seed_volume(machine.id), naming.home_volume(machine.home)}
    sidecar = naming.sidecar_volume(machine.home)
    assert own | {sidecar} <= lab.volumes("host2")
    assert not (own | {sidecar}) & lab.volumes("host1")
    assert (await lab.engine.volumes.get(machine.home)).pool == "labhub-host2"
    link = lab.engine.links.get(machine.id)
    await eventually(lambda: link is not lab.engine.links.get(machine.id) or link.connected)
    assert lab.guest(machine.uuid).session == session
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    assert lab.hosts["host2"].domains[machine.uuid].power is Power.OFF


async def test_placement_chooses_where_no_host_is_named(two_hosts):
    machine = await two_hosts.started(host="host1")
    await ended(two_hosts, await move(two_hosts, machine, None))
    assert (await tidied(two_hosts, machine)).host == "host2"


async def test_a_machine_that_is_off_moves_and_starts_there(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    await ended(lab, await move(lab, machine))
    found = await tidied(lab, machine)
    assert (found.host, found.status) == ("host2", Status.STOPPED)
    assert machine.uuid not in lab.hosts["host1"].domains
    assert naming.home_volume(machine.home) not in lab.volumes("host1")
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, SESSION))
    assert on(lab, machine) == ["host2"]


async def test_a_machine_that_never_ran_moves(two_hosts):
    machine = await two_hosts.create(host="host1", **PLAIN)
    await ended(two_hosts, await move(two_hosts, machine))
    assert (await tidied(two_hosts, machine)).host == "host2"


async def test_a_machine_moves_there_and_back(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    for host in ("host2", "host1", "host2"):
        await ended(lab, await move(lab, machine, host))
        assert (await tidied(lab, machine)).host == host
    assert on(lab, machine) == ["host2"]


async def test_both_hosts_keep_room_for_a_machine_that_moves(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].hang("migrate")
    operation = await move(lab, machine)
    promised = {host.id: host.memory_promised_mib for host in await lab.engine.inventory.hosts()}
    assert promised == {"host1": machine.memory_mib, "host2": machine.memory_mib}
    lab.hypervisors["host1"].release("migrate")
    await ended(lab, operation)
    await tidied(lab, machine)
    promised = {host.id: host.memory_promised_mib for host in await lab.engine.inventory.hosts()}
    assert promised == {"host1": 0, "host2": machine.memory_mib}


# --- what is refused ---


async def test_where_it_is_is_not_where_it_goes(two_hosts):
    machine = await two_hosts.started(host="host1")
    with pytest.raises(NoRoom, match="is where the machine is"):
        await move(two_hosts, machine, "host1")
    async with two_hosts.store.write(ROOT, "test", "host/host2") as tx:
        (await inventory.host(tx.session, "host2")).maintenance = True
    with pytest.raises(NoRoom, match="is in maintenance"):
        await move(two_hosts, machine)


async def test_a_machine_that_moves_is_left_alone_but_can_be_ended(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].hang("migrate")
    operation = await move(lab, machine)
    found = await lab.engine.machines.get(machine.id)
    assert (found.moving_to, found.actions) == ("host2", ["shutdown", "poweroff", "delete"])
    with pytest.raises(Conflict, match="while it is moved to the host host2"):
        await lab.engine.machines.reboot(ALICE, machine.id)
    with pytest.raises(Conflict, match="while it is moved"):
        await move(lab, machine)
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    await ended(lab, operation, OperationStatus.CANCELLED)
    found = await tidied(lab, machine)
    assert (found.host, found.status, on(lab, machine)) == ("host1", Status.STOPPED, [])


async def test_a_machine_that_moves_can_be_deleted(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].hang("migrate")
    await move(lab, machine)
    await ended(lab, await lab.engine.machines.delete(ALICE, machine.id))
    assert on(lab, machine) == []
    assert naming.disk_volume(machine.id) not in lab.volumes("host1") | lab.volumes("host2")


# --- moves that do not go well ---


async def test_a_move_is_cancelled_and_nothing_of_it_is_left(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].hang("migrate")
    operation = await move(lab, machine)
    await eventually(lambda: "migrate" in lab.hypervisors["host1"].calls)
    await lab.engine.operations.cancel(ROOT, operation.id)
    await ended(lab, operation, OperationStatus.CANCELLED)
    found = await tidied(lab, machine)
    assert (found.host, found.status, found.power) == ("host1", Status.RUNNING, Power.ON)
    assert naming.disk_volume(machine.id) not in lab.volumes("host2")
    assert naming.home_volume(machine.home) not in lab.volumes("host2")
    assert naming.home_volume(machine.home) in lab.volumes("host1")
    with pytest.raises(Conflict, match="ended already"):
        await lab.engine.operations.cancel(ROOT, operation.id)


async def test_a_host_that_refuses_says_why_and_the_machine_runs_on(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].fail_next("migrate", HypervisorFailed("the guest CPU is too new"))
    found = await ended(lab, await move(lab, machine), OperationStatus.FAILED)
    assert found.error.detail == "the guest CPU is too new"
    assert (await tidied(lab, machine)).host == "host1"
    await ended(lab, await move(lab, machine))
    assert (await tidied(lab, machine)).host == "host2"


async def test_a_reply_that_is_lost_does_not_lose_the_machine(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].lose_reply("migrate")
    await ended(lab, await move(lab, machine))
    assert (await tidied(lab, machine)).host == "host2"


@pytest.mark.parametrize("verb", ["migrate", "create_volume", "copy_volume", "domain_xml"])
async def test_a_controller_that_is_killed_finds_the_machine_on_one_host(two_hosts, verb):
    lab = two_hosts
    machine = await lab.started(host="host1")
    for hypervisor in lab.hypervisors.values():
        hypervisor.hang(verb)
    operation = await move(lab, machine)
    await eventually(lambda: any(verb in each.calls for each in lab.hypervisors.values()))
    await lab.restart()
    await lab.engine.operations.wait(operation.id, 10)
    found = await tidied(lab, machine)
    assert on(lab, machine) == [found.host]
    assert found.status is Status.RUNNING


async def test_a_controller_that_is_killed_after_the_handing_over_follows_the_machine(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    moved = asyncio.Event()

    hypervisor = lab.hypervisors["host1"]
    original = hypervisor.migrate

    async def migrate_and_hang(*args, **kwargs):
        await original(*args, **kwargs)
        moved.set()
        await asyncio.Event().wait()

    hypervisor.migrate = migrate_and_hang
    operation = await move(lab, machine)
    await moved.wait()
    await lab.restart()
    await ended(lab, operation)
    found = await tidied(lab, machine)
    assert (found.host, on(lab, machine)) == ("host2", ["host2"])


@pytest.mark.parametrize("lost", ["host1", "host2"])
async def test_a_host_that_is_lost_during_the_move_does_not_make_two_of_the_machine(two_hosts, lost):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host2"].hang("incoming")
    operation = await move(lab, machine)
    await eventually(lambda: "incoming" in lab.hypervisors["host2"].calls)
    lab.hypervisors[lost].disconnect()
    lab.hypervisors["host2"].release("incoming")
    await asyncio.sleep(0.2)
    assert len(on(lab, machine)) == 1
    lab.hypervisors[lost].reconnect()
    await lab.engine.operations.wait(operation.id, 10)
    found = await tidied(lab, machine)
    assert on(lab, machine) == [found.host]


async def test_what_is_left_on_a_host_that_went_is_removed_when_it_comes_back(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].lose_reply("migrate")
    lab.hypervisors["host1"].hang("delete_volume")
    await ended(lab, await move(lab, machine))
    lab.hypervisors["host1"].disconnect()
    lab.hypervisors["host1"].release("delete_volume")
    found = await lab.engine.machines.get(machine.id)
    assert (found.host, found.power) == ("host2", Power.ON)
    # As if the host had come back with the domain that it had.
    uuid = machine.uuid
    lab.hosts["host1"].domains[uuid] = FakeDomain(uuid, f"labhub-{machine.id}", "<domain/>")
    lab.hypervisors["host1"].reconnect()
    await tidied(lab, machine)
    assert uuid not in lab.hosts["host1"].domains
    assert naming.disk_volume(machine.id) not in lab.volumes("host1")


async def test_a_machine_is_looked_after_also_while_something_of_it_cannot_be_removed(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    lab.hypervisors["host1"].fail_next("delete_volume", HypervisorFailed("the file is busy"), times=3)
    await ended(lab, await move(lab, machine))
    lab.hypervisors["host2"].crash(machine.uuid)
    assert (await lab.until(machine.id, Status.FAILED)).error is not None
    for _ in range(3):
        lab.engine.reconciler.poke(machine.id)
        await lab.engine.reconciler.quiet()
    await tidied(lab, machine)


async def test_a_home_that_is_being_moved_is_nobody_elses(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    lab.hypervisors["host1"].hang("copy_volume")
    operation = await move(lab, machine)
    assert (await lab.engine.volumes.get(machine.home)).machine == machine.id
    lab.hypervisors["host1"].release("copy_volume")
    await ended(lab, operation)
    assert (await lab.engine.volumes.get(machine.home)).machine is None


async def test_only_who_administers_moves(two_hosts):
    machine = await two_hosts.started(host="host1")
    assert machine.owner == "alice"
    assert BOB.name != machine.owner
    assert "move" in (await two_hosts.engine.machines.get(machine.id)).actions


# --- the decision ---


def state(power, reason=""):
    return DomainState("u", "n", power, reason)


RUNS, WAITS, OFF = state(Power.ON), state(Power.PAUSED, "migration"), state(Power.OFF, "destroyed")


@pytest.mark.parametrize(
    ("here", "there", "outcome"),
    [
        (RUNS, None, Outcome.STAYED),
        (RUNS, OFF, Outcome.STAYED),
        (RUNS, WAITS, Outcome.STAYED),
        (RUNS, SILENT, Outcome.STAYED),
        (RUNS, RUNS, Outcome.STAYED),
        (WAITS, None, Outcome.STANDS),
        (WAITS, OFF, Outcome.STANDS),
        (WAITS, WAITS, Outcome.STANDS),
        (WAITS, RUNS, Outcome.ARRIVED),
        (WAITS, SILENT, Outcome.OPEN),
        (None, RUNS, Outcome.ARRIVED),
        (None, WAITS, Outcome.ARRIVED),
        (None, None, Outcome.ENDED),
        (None, OFF, Outcome.ENDED),
        (None, SILENT, Outcome.OPEN),
        (OFF, RUNS, Outcome.ARRIVED),
        (OFF, WAITS, Outcome.ENDED),
        (OFF, None, Outcome.ENDED),
        (OFF, SILENT, Outcome.OPEN),
        (SILENT, RUNS, Outcome.ARRIVED),
        (SILENT, WAITS, Outcome.OPEN),
        (SILENT, None, Outcome.OPEN),
        (SILENT, OFF, Outcome.OPEN),
        (SILENT, SILENT, Outcome.OPEN),
        (state(Power.PAUSED, "user"), None, Outcome.STAYED),
        (None, state(Power.PAUSED, "ioerror"), Outcome.ARRIVED),
    ],
)
def test_where_a_machine_is_follows_from_what_both_hosts_say(here, there, outcome):
    assert decide(seen(here), seen(there)) is outcome
