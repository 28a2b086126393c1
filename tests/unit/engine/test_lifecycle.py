"""Machines that are suspended, reset, stored and locked; and many at once."""

from __future__ import annotations

import pytest
from scripted import ALICE, BOB, SESSION, eventually

from cernvmapi.errors import Conflict, Forbidden, HypervisorFailed
from cernvmapi.lifecycle import BulkRequest, LockRequest, StoreRequest
from cernvmapi.models import MachineChange, OperationStatus, Power, Status

PLAIN = {"notebook": False, "home": False, "server_name": None}


async def done(lab, operation):
    return await lab.engine.operations.wait(operation.id, 10)


async def succeeded(lab, operation):
    ended = await done(lab, operation)
    assert ended.status is OperationStatus.SUCCEEDED, ended


async def running(lab, **fields):
    """Return a running machine without a notebook."""
    machine = await lab.create(**PLAIN, **fields)
    await succeeded(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    return await lab.engine.machines.get(machine.id)


# --- suspend, resume, reset ---


async def test_a_suspended_machine_stands_still_until_it_is_resumed(lab):
    machine = await lab.started()
    await succeeded(lab, await lab.engine.lifecycle.suspend(ALICE, machine.id))
    found = await lab.engine.machines.get(machine.id)
    assert (found.status, found.power, found.error) == (Status.RUNNING, Power.PAUSED, None)
    assert "resume" in found.actions
    assert "suspend" not in found.actions
    lab.engine.reconciler.poke(machine.id)  # as the poll does
    await lab.engine.reconciler.quiet()
    assert (await lab.engine.machines.get(machine.id)).error is None, "it was asked for"
    await succeeded(lab, await lab.engine.lifecycle.resume(ALICE, machine.id))
    found = await lab.engine.machines.get(machine.id)
    assert (found.power, found.error) == (Power.ON, None)
    await eventually(lambda: "clock" in [said["type"] for said in lab.guest(machine.uuid).heard])


async def test_a_controller_that_is_killed_before_it_suspended_does_it_after(lab):
    machine = await lab.started()
    lab.hypervisor.hang("suspend")
    operation = await lab.engine.lifecycle.suspend(ALICE, machine.id)
    await eventually(lambda: "suspend" in lab.hypervisor.calls)
    await lab.restart()
    await succeeded(lab, operation)
    assert (await lab.engine.machines.get(machine.id)).power is Power.PAUSED


async def test_a_host_that_refuses_says_why_and_the_machine_is_as_before(lab):
    machine = await lab.started()
    lab.hypervisor.fail_next("reset", HypervisorFailed("no reset button"))
    ended = await done(lab, await lab.engine.lifecycle.reset(ALICE, machine.id))
    assert (ended.status, ended.error.detail) == (OperationStatus.FAILED, "no reset button")
    assert (await lab.engine.machines.get(machine.id)).status is Status.RUNNING
    await succeeded(lab, await lab.engine.lifecycle.reset(ALICE, machine.id))


async def test_what_is_off_cannot_be_suspended_or_stored(lab):
    machine = await lab.create()
    for verb in (lab.engine.lifecycle.suspend, lab.engine.lifecycle.reset):
        with pytest.raises(Conflict, match="while it is pending"):
            await verb(ALICE, machine.id)
    with pytest.raises(Conflict, match="cannot be stored while it is pending"):
        await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest())


async def test_a_suspended_machine_is_powered_off_and_is_not_suspended_when_it_starts_again(lab):
    machine = await running(lab)
    await succeeded(lab, await lab.engine.lifecycle.suspend(ALICE, machine.id))
    await succeeded(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    await succeeded(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    lab.hypervisor.pause(machine.uuid, "user")
    found = await lab.until_true(machine.id, lambda found: found.error is not None)
    assert "not through the hub" in found.error.detail


# --- store and lock ---


async def test_a_stored_machine_is_off_and_locked_and_goes_on_when_it_is_unlocked_and_started(lab):
    machine = await running(lab)
    await succeeded(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest(reason="a move")))
    found = await lab.engine.machines.get(machine.id)
    assert (found.status, found.power, found.stored) == (Status.STOPPED, Power.OFF, True)
    assert (found.lock.author, found.lock.reason, found.actions) == ("alice", "a move", ["unlock"])
    assert lab.host.domains[machine.uuid].stored
    for verb in (lab.engine.machines.delete, lab.engine.machines.reboot):
        with pytest.raises(Conflict, match=r"alice locked it on .* \(a move\)"):
            await verb(ALICE, machine.id)
    with pytest.raises(Conflict, match="alice locked it"):
        await lab.engine.machines.start(ALICE, machine.id, None)
    with pytest.raises(Forbidden):
        await lab.engine.lifecycle.unlock(BOB, machine.id, any_author=False)
    await lab.engine.lifecycle.unlock(ALICE, machine.id, any_author=False)
    await succeeded(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    assert (await lab.engine.machines.get(machine.id)).stored is False
    assert lab.host.domains[machine.uuid].reason == "restored"


async def test_a_stored_machine_can_boot_anew_instead(lab):
    machine = await running(lab)
    await succeeded(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest(lock=False)))
    await succeeded(lab, await lab.engine.machines.start(ALICE, machine.id, None, discard=True))
    assert lab.host.domains[machine.uuid].reason == "booted"


async def test_a_machine_that_cannot_be_stored_runs_on_and_is_not_locked(lab):
    machine = await running(lab)
    lab.hypervisor.fail_next("store", HypervisorFailed("no space left on device"))
    ended = await done(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest()))
    assert (ended.status, ended.error.detail) == (OperationStatus.FAILED, "no space left on device")
    found = await lab.until(machine.id, Status.RUNNING)
    assert (found.lock, found.stored, found.power) == (None, False, Power.ON)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_controller_that_is_killed_while_it_stores_a_machine_goes_on(lab, when):
    machine = await running(lab)
    if when == "before":
        lab.hypervisor.hang("store")
    else:
        lab.hypervisor.lose_reply("store")
    operation = await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest())
    await eventually(lambda: "store" in lab.hypervisor.calls)
    await lab.restart()
    await succeeded(lab, operation)
    assert (await lab.engine.machines.get(machine.id)).stored


async def test_a_machine_with_a_notebook_is_stored_under_lock_only(lab):
    machine = await lab.started()
    with pytest.raises(Conflict, match="Without a lock the hub would remove it"):
        await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest(lock=False))
    await succeeded(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest()))
    with pytest.raises(Conflict, match="alice locked it"):
        await lab.engine.machines.start(ALICE, machine.id, SESSION)


async def test_a_machine_that_somebody_stored_on_its_host_says_so_and_goes_on(lab):
    machine = await running(lab)
    await lab.hypervisor.store(machine.uuid)
    found = await lab.until(machine.id, Status.FAILED)
    assert "goes on where it was" in found.error.detail
    assert found.stored
    await succeeded(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    assert lab.host.domains[machine.uuid].reason == "restored"


async def test_a_lost_database_does_not_forget_what_is_stored(lab):
    machine = await running(lab)
    await succeeded(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest()))
    await lab.end()
    lab.lose_database()
    await lab.begin()
    await eventually(lambda: not lab.engine.census.missing)
    assert (await lab.engine.machines.get(machine.id)).stored


async def test_a_locked_machine_stays_as_it_is(lab):
    machine = await lab.started()
    locked = await lab.engine.lifecycle.lock(ALICE, machine.id, LockRequest(reason="do not touch"))
    assert locked.actions == ["unlock"]
    for verb in (lab.engine.machines.shutdown, lab.engine.machines.poweroff, lab.engine.lifecycle.suspend):
        with pytest.raises(Conflict, match="do not touch"):
            await verb(ALICE, machine.id)
    with pytest.raises(Conflict, match="do not touch"):
        await lab.engine.lifecycle.lock(BOB, machine.id, LockRequest())
    unlocked = await lab.engine.lifecycle.unlock(BOB, machine.id, any_author=True)
    assert unlocked.lock is None
    assert "shutdown" in unlocked.actions
    assert (await lab.engine.lifecycle.unlock(BOB, machine.id, any_author=False)).lock is None, "it is so"


async def test_a_protected_machine_is_not_deleted_until_the_protection_is_gone(lab):
    machine = await lab.create()
    change = lab.engine.machines.change
    protected = await change(ALICE, machine.id, MachineChange(protected=True))
    assert protected.actions == ["start", "move", "lock"]
    with pytest.raises(Conflict, match="protected from deletion"):
        await lab.engine.machines.delete(ALICE, machine.id)
    await change(ALICE, machine.id, MachineChange(protected=False))
    await succeeded(lab, await lab.engine.machines.delete(ALICE, machine.id))


# --- many at once ---


async def test_many_machines_are_previewed_and_then_done_with_a_result_for_each(lab):
    on, off = await running(lab), await lab.create(BOB)
    ids = [on.id, off.id, on.id, "m-nothing"]
    seen = await lab.engine.lifecycle.many(
        ALICE, BulkRequest(action="suspend", ids=ids, preview=True), owner=None
    )
    assert [each.id for each in seen] == [on.id, off.id, "m-nothing"]
    assert [each.possible for each in seen] == [True, False, False]
    assert "while it is pending" in seen[1].reason
    assert (await lab.engine.machines.get(on.id)).power is Power.ON
    result = await lab.engine.lifecycle.many(ALICE, BulkRequest(action="suspend", ids=ids), owner="alice")
    assert [each.possible for each in result] == [True, False, False]
    assert result[1].name is None, "it is another's, and not seen"
    await succeeded(lab, result[0].operation)
    assert (await lab.engine.machines.get(on.id)).power is Power.PAUSED
