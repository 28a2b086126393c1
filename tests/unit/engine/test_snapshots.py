"""Snapshots of machines on fake hosts."""

from __future__ import annotations

import pytest
from scripted import ALICE, eventually
from test_moving import move

from cernvmapi.errors import Conflict, HypervisorFailed, NotFound
from cernvmapi.lifecycle import StoreRequest
from cernvmapi.models import OperationStatus, Power, Status
from cernvmapi.snapshots import SnapshotRequest
from cernvmcontroller.machines import snapshots

PLAIN = {"notebook": False, "home": False, "server_name": None}


async def ended(lab, operation, status=OperationStatus.SUCCEEDED):
    found = await lab.engine.operations.wait(operation.id, 10)
    assert found.status is status, found
    return found


async def running(lab, **fields):
    machine = await lab.create(**PLAIN, **fields)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    return await lab.engine.machines.get(machine.id)


async def take(lab, machine, name=None):
    return await lab.engine.snapshots.take(ALICE, machine.id, SnapshotRequest(name=name))


async def names(lab, machine):
    return [each.name for each in await lab.engine.snapshots.all(machine.id)]


async def test_what_a_machine_is_is_kept_listed_brought_back_and_forgotten(lab):
    machine = await lab.started()
    await ended(lab, await take(lab, machine, "before-update"))
    await ended(lab, await take(lab, machine))
    (first, second) = await lab.engine.snapshots.all(machine.id)
    assert (first.name, first.memory, first.current) == ("before-update", True, False)
    assert second.current
    await ended(lab, await lab.engine.snapshots.revert(ALICE, machine.id, "before-update"))
    assert lab.host.domains[machine.uuid].reverted == ["before-update"]
    found = await lab.engine.machines.get(machine.id)
    assert (found.status, found.power) == (Status.RUNNING, Power.ON)
    await ended(lab, await lab.engine.snapshots.forget(ALICE, machine.id, second.name))
    assert await names(lab, machine) == ["before-update"]
    heard = lab.guest(machine.uuid).heard
    await eventually(lambda: "clock" in [said["type"] for said in heard])


async def test_a_machine_that_is_off_has_snapshots_of_its_disks(lab):
    machine = await running(lab)
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    await ended(lab, await take(lab, machine, "off"))
    found = await lab.engine.machines.get(machine.id)
    assert (found.status, found.power) == (Status.STOPPED, Power.OFF)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    with pytest.raises(Conflict, match="power it off first"):
        await lab.engine.snapshots.revert(ALICE, machine.id, "off")
    await ended(lab, await take(lab, machine, "on"))
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    with pytest.raises(Conflict, match="start it first"):
        await lab.engine.snapshots.revert(ALICE, machine.id, "on")
    await ended(lab, await lab.engine.snapshots.revert(ALICE, machine.id, "off"))


async def test_what_cannot_be_kept_is_refused(lab, monkeypatch):
    machine = await lab.create(**PLAIN)
    assert await names(lab, machine) == []
    with pytest.raises(Conflict, match="while it is pending"):
        await take(lab, machine)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    await ended(lab, await take(lab, machine, "one"))
    with pytest.raises(Conflict, match="has a snapshot one already"):
        await take(lab, machine, "one")
    with pytest.raises(NotFound, match="no snapshot two"):
        await lab.engine.snapshots.revert(ALICE, machine.id, "two")
    monkeypatch.setattr(snapshots, "MOST", 1)
    with pytest.raises(Conflict, match="delete one first"):
        await take(lab, machine)
    await ended(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest(lock=False)))
    with pytest.raises(Conflict, match="its memory is stored"):
        await lab.engine.snapshots.forget(ALICE, machine.id, "one")


async def test_a_host_that_refuses_says_why(lab):
    machine = await running(lab)
    lab.hypervisor.fail_next("take_snapshot", HypervisorFailed("no room in the image"))
    found = await ended(lab, await take(lab, machine), OperationStatus.FAILED)
    assert found.error.detail == "no room in the image"
    assert (await lab.engine.machines.get(machine.id)).status is Status.RUNNING
    await ended(lab, await take(lab, machine))


@pytest.mark.parametrize("off", [False, True])
async def test_a_controller_that_is_killed_meanwhile_takes_it_once(lab, off):
    machine = await running(lab)
    if off:
        await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    lab.hypervisor.hang("take_snapshot")
    operation = await take(lab, machine, "once")
    await eventually(lambda: "take_snapshot" in lab.hypervisor.calls)
    with pytest.raises(Conflict, match="Something else"):
        await take(lab, machine, "twice")
    if off:
        with pytest.raises(Conflict, match="Something else"):
            await lab.engine.machines.start(ALICE, machine.id, None)
    await lab.restart()
    await ended(lab, operation)
    assert await names(lab, machine) == ["once"]


async def test_a_deleted_machine_leaves_no_snapshot_in_its_home(lab):
    machine = await lab.started()
    await ended(lab, await take(lab, machine, "one"))
    domain = lab.host.domains[machine.uuid]
    await ended(lab, await lab.engine.machines.delete(ALICE, machine.id))
    assert domain.snapshots == {}


async def test_a_machine_with_snapshots_is_not_moved_and_says_why(two_hosts):
    lab = two_hosts
    machine = await running(lab, host="host1")
    await ended(lab, await take(lab, machine, "one"))
    found = await ended(lab, await move(lab, machine), OperationStatus.FAILED)
    assert found.error.detail == "The machine's snapshots (one) stay with its host: delete them first."
    assert (await lab.engine.machines.get(machine.id)).host == "host1"
