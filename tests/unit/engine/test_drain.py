"""Hosts that are drained, evacuated and evened, on fake hosts."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from scripted import ALICE, BOB, Lab, eventually
from test_moving import ROOT, ended, on, tidied

from cernvmapi.errors import Conflict, HostUnreachable, HypervisorFailed
from cernvmapi.hosts import DrainRequest, EvacuateRequest
from cernvmapi.lifecycle import LockRequest, MoveRequest
from cernvmapi.models import Level, OperationStatus, Power, Status
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.specs import PoolSpec
from cernvmcontroller.moving.balance import Placed, propose, unevenness
from cernvmcontroller.moving.evacuation import Evacuation
from cernvmcontroller.placement import Candidate, Overcommit, Policy, Wish

PLAIN = {"notebook": False, "home": False, "server_name": None}


async def running(lab, **fields):
    machine = await lab.create(**PLAIN, **fields)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    return await lab.engine.machines.get(machine.id)


async def drain(lab, host="host1", at_once=2):
    return await lab.engine.drains.drain(ROOT, host, DrainRequest(at_once=at_once))


@pytest.fixture
async def shared(tmp_path):
    """Two fake hosts with one pool and a controller."""
    lab = Lab(tmp_path, hosts=2)
    separate = lab.specs
    lab.specs = lambda: [
        replace(spec, pool=PoolSpec("labhub", "/pool/both"), shared=True) for spec in separate()
    ]
    first, second = lab.hosts.values()
    second.pools = first.pools
    lab.volumes = lambda _host="": set(first.pools["labhub"].volumes)
    await lab.begin()
    yield lab
    await lab.end()


# --- drain ---


async def test_all_machines_leave_a_host_that_is_drained_and_none_comes(two_hosts):
    lab = two_hosts
    on_it = [await lab.started(host="host1"), await running(lab, host="host1")]
    off = await lab.create(host="host1", **PLAIN)
    operation = await drain(lab)
    found = await ended(lab, operation)
    assert found.message == "3 machines left; the host is in maintenance"
    for machine in on_it:
        assert (await tidied(lab, machine)).host == "host2"
        assert on(lab, machine) == ["host2"]
    assert (await tidied(lab, off)).host == "host2"
    host = await lab.engine.inventory.host("host1")
    assert (host.maintenance, host.machines) == (True, 0)
    assert (await lab.create(**PLAIN)).host == "host2"


async def test_a_drained_host_without_machines_is_done_at_once(two_hosts):
    await ended(two_hosts, await drain(two_hosts))


async def test_what_cannot_leave_is_named_with_the_reason(two_hosts):
    lab = two_hosts
    locked, free = await running(lab, host="host1"), await running(lab, host="host1")
    await lab.engine.lifecycle.lock(ALICE, locked.id, LockRequest(reason="for the review"))
    found = await ended(lab, await drain(lab), OperationStatus.FAILED)
    assert "1 machines are still on the host host1" in found.error.detail
    (named,) = found.error.errors
    assert named["machine"] == locked.id
    assert "alice locked it" in named["reason"]
    assert (await tidied(lab, free)).host == "host2"


async def test_a_move_that_fails_is_named_too(two_hosts):
    lab = two_hosts
    machine = await running(lab, host="host1")
    lab.hypervisors["host1"].fail_next("migrate", HypervisorFailed("no way"))
    found = await ended(lab, await drain(lab), OperationStatus.FAILED)
    assert found.error.errors == [{"machine": machine.id, "name": machine.name, "reason": "no way"}]


async def test_a_drain_goes_on_after_the_controller_was_killed(two_hosts):
    lab = two_hosts
    made = [await running(lab, host="host1") for _ in range(3)]
    lab.hypervisors["host1"].hang("migrate")
    operation = await drain(lab, at_once=1)
    await eventually(lambda: "migrate" in lab.hypervisors["host1"].calls)
    await lab.restart()
    await lab.engine.operations.wait(operation.id, 10)
    # The one that was under way was broken off with the controller, and is named; or it left all the same.
    for machine in made[1:]:
        assert (await tidied(lab, machine)).host in {"host1", "host2"}
    left = [each for each in made if (await tidied(lab, each)).host == "host2"]
    assert len(left) >= 2


async def test_a_drain_is_cancelled_and_asking_twice_is_one_drain(two_hosts):
    lab = two_hosts
    made = [await running(lab, host="host1") for _ in range(3)]
    lab.hypervisors["host1"].hang("migrate")
    operation = await drain(lab, at_once=1)
    assert (await drain(lab)).id == operation.id
    await eventually(lambda: "migrate" in lab.hypervisors["host1"].calls)
    await lab.engine.operations.cancel(ROOT, operation.id)
    await ended(lab, operation, OperationStatus.CANCELLED)
    lab.hypervisors["host1"].release("migrate")
    for machine in made:
        await tidied(lab, machine)
    hosts = [(await lab.engine.machines.get(machine.id)).host for machine in made]
    assert hosts.count("host1") >= 2


async def test_a_host_that_does_not_answer_is_not_drained(two_hosts):
    lab = two_hosts
    lab.hypervisors["host1"].disconnect()
    await eventually(lambda: not lab.engine.inventory.alive("host1"))
    with pytest.raises(HostUnreachable, match="evacuate it"):
        await drain(lab)
    lab.hypervisors["host1"].reconnect()


# --- evacuation ---


async def dead(lab, host="host1"):
    lab.hypervisors[host].disconnect()
    await eventually(lambda: not lab.engine.inventory.alive(host))


async def evacuate(lab, *, is_off=True):
    return await lab.engine.evacuation.evacuate(ROOT, "host1", EvacuateRequest(is_off=is_off))


async def test_the_machines_of_a_dead_host_start_elsewhere_on_their_disks(shared):
    lab = shared
    machine = await lab.started(host="host1")
    off = await lab.create(BOB, host="host1", **PLAIN)
    await dead(lab)
    lab.host.domains[machine.uuid].power = Power.OFF  # it is off: somebody saw to that
    done = await evacuate(lab)
    assert (done.status, done.message) == (OperationStatus.SUCCEEDED, "2 machines go on elsewhere")
    await lab.settle()
    found = await lab.engine.machines.get(machine.id)
    assert (found.host, found.status, found.power) == ("host2", Status.RUNNING, Power.ON)
    assert (found.address, found.home) == (machine.address, machine.home)
    assert (await lab.engine.machines.get(off.id)).host == "host2"
    assert (await lab.engine.inventory.host("host1")).maintenance


async def test_what_a_dead_host_still_has_goes_when_it_comes_back(shared):
    lab = shared
    machine = await lab.started(host="host1")
    await dead(lab)
    await evacuate(lab)
    await lab.settle()
    assert on(lab, machine) == ["host1", "host2"], "it was not off: that is what the confirmation is for"
    lab.hypervisors["host1"].reconnect()
    await tidied(lab, machine)
    assert on(lab, machine) == ["host2"]
    assert machine.uuid not in lab.host.domains
    assert naming.disk_volume(machine.id) in lab.volumes()


async def test_what_was_evacuated_and_deleted_does_not_come_back_with_the_host(shared):
    lab = shared
    machine = await lab.started(host="host1")
    await dead(lab)
    await evacuate(lab)
    await lab.settle()
    await ended(lab, await lab.engine.machines.delete(ALICE, machine.id))
    assert (await lab.engine.machines.get(machine.id)).status is Status.DELETING
    assert (await lab.engine.volumes.get(machine.home)).machine is None
    again = await lab.started(host="host2")
    assert (again.home, again.id != machine.id) == (machine.home, True)
    lab.hypervisors["host1"].reconnect()
    await eventually(lambda: machine.uuid not in lab.host.domains)

    async def gone():
        return [each.id for each in (await lab.engine.machines.page()).items] == [again.id]

    await eventually(gone)


async def test_nothing_is_evacuated_unless_the_host_is_off_for_sure(shared):
    lab = shared
    machine = await lab.started(host="host1")
    with pytest.raises(Conflict, match="drain it instead"):
        await evacuate(lab)
    await dead(lab)
    with pytest.raises(Conflict, match="make sure that it stays off"):
        await evacuate(lab, is_off=False)
    assert (await lab.engine.machines.get(machine.id)).host == "host1"


async def test_a_fence_command_makes_sure(shared, tmp_path):
    lab = shared
    machine = await lab.started(host="host1")
    await dead(lab)
    told = tmp_path / "told"
    program = f"import sys, pathlib; pathlib.Path({str(told)!r}).write_text(sys.argv[1])"

    async def fenced(*command):
        fence = Evacuation(lab.store, lab.engine._shop, command)
        return await fence.evacuate(ROOT, "host1", EvacuateRequest())

    with pytest.raises(Conflict, match="failed, so nothing was evacuated: no power switch"):
        await fenced(sys.executable, "-c", "print('no power switch'); raise SystemExit(3)")
    with pytest.raises(Conflict, match="cannot be run: No such file"):
        await fenced("/no/such/program", "{host}")
    assert (await lab.engine.machines.get(machine.id)).host == "host1"
    lab.host.domains[machine.uuid].power = Power.OFF
    done = await fenced(sys.executable, "-c", program, "{host}")
    assert (done.status, told.read_text()) == (OperationStatus.SUCCEEDED, "host1")
    await lab.settle()
    assert on(lab, machine) == ["host2"]


async def test_machines_whose_disks_are_on_the_dead_host_only_stay_and_say_so(two_hosts):
    lab = two_hosts
    machine = await lab.started(host="host1")
    await dead(lab)
    done = await evacuate(lab)
    assert done.status is OperationStatus.FAILED
    (named,) = done.error.errors
    assert (named["machine"], named["reason"]) == (
        machine.id,
        "Its disk is on that host only; it goes on when the host is back.",
    )
    lab.hypervisors["host1"].reconnect()
    found = await lab.until_true(machine.id, lambda found: found.power is Power.ON)
    assert (found.host, found.status) == ("host1", Status.RUNNING)


# --- balance ---


def host(name, memory=0, **more):
    fields = {
        "id": name,
        "name": name,
        "level": Level.NOTEBOOK,
        "alive": True,
        "arch": "x86_64",
        "vcpus": 100,
        "memory_mib": 1000,
        "memory_promised_mib": memory,
        "addresses_free": 10,
    }
    return Candidate(**{**fields, **more})


def machine(number, memory, where="a"):
    return Placed(
        f"m{number}",
        f"M{number}",
        where,
        Wish(vcpus=1, memory_mib=memory, disk_mib=1, keeps_address=True, leaves=where),
    )


OVERCOMMIT, POLICY = Overcommit(), Policy()


def test_even_hosts_are_left_alone():
    hosts = [host("a", 400), host("b", 410)]
    assert propose(hosts, [machine(1, 400), machine(2, 410, "b")], OVERCOMMIT, POLICY) == []


def test_machines_are_proposed_to_leave_the_fuller_host_until_it_is_even():
    hosts = [host("a", 800), host("b"), host("c")]
    found = propose(hosts, [machine(n, 200) for n in range(4)], OVERCOMMIT, POLICY)
    assert len(found) == 2
    assert {each.to for each in found} == {"b", "c"}
    assert all(each.after < each.before for each in found)
    assert found[-1].after < unevenness(hosts, OVERCOMMIT) / 2


@pytest.mark.parametrize("bad", [{"alive": False}, {"maintenance": True}, {"level": Level.CONTROL}])
def test_nothing_is_proposed_that_placement_would_refuse(bad):
    found = propose([host("a", 800), host("b", **bad)], [machine(1, 400)], OVERCOMMIT, POLICY)
    assert found == []


def test_only_so_many_moves_are_proposed_at_once():
    hosts = [host("a", 900), host("b")]
    found = propose(hosts, [machine(n, 100) for n in range(9)], OVERCOMMIT, POLICY, most=2)
    assert len(found) == 2


async def test_proposals_are_shown_first_and_then_carried_out(two_hosts):
    lab = two_hosts
    made = [await running(lab, host="host1") for _ in range(4)]
    proposed = await lab.engine.moves.propose()
    assert len(proposed) == 2
    assert {each.from_host for each in proposed} == {"host1"}
    assert {each.machine for each in proposed} <= {each.id for each in made}
    assert {(await lab.engine.machines.get(each.id)).host for each in made} == {"host1"}
    for each in proposed:
        await ended(lab, await lab.engine.moves.move(ROOT, each.machine, MoveRequest(host=each.to_host)))
    for each in made:
        await tidied(lab, each)
    assert await lab.engine.moves.propose() == []
