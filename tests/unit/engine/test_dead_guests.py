"""A machine whose QEMU dies in the middle of anything: what was asked for ends, nothing is left behind."""

from __future__ import annotations

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.models import OperationStatus, Power, Status


async def booting(lab, machine):
    lab.template = {"silent": True}
    return await lab.engine.machines.start(ALICE, machine.id, SESSION)


async def waiting_for_its_session(lab, machine):
    return await lab.engine.machines.start(ALICE, machine.id, None)


async def starting_its_server(lab, machine):
    lab.template = {"slow": True}
    return await lab.engine.machines.start(ALICE, machine.id, SESSION)


PHASES = {"boot": booting, "context": waiting_for_its_session, "server": starting_its_server}


async def ended(lab, operation, status=OperationStatus.SUCCEEDED):
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == status, done
    return done


@pytest.mark.parametrize("phase", PHASES)
async def test_a_guest_that_dies_in_a_phase_of_its_start_fails_it(lab, phase):
    machine = await lab.create()
    operation = await PHASES[phase](lab, machine)
    await lab.until_true(machine.id, lambda found: found.phase == phase)
    await eventually(lambda: machine.uuid in lab.guests)
    lab.hypervisor.crash(machine.uuid)
    done = await ended(lab, operation, OperationStatus.FAILED)
    assert "went off while it started (crashed)" in done.error.detail
    await lab.until(machine.id, Status.FAILED)
    assert not lab.host.domains
    assert {name.partition("-")[0] for name in lab.volumes()} <= {"base", "home"}
    lab.template = {}
    lab.guests.clear()
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, SESSION))


async def test_a_guest_that_dies_while_it_shuts_down_is_off_as_was_wished(lab):
    machine = await lab.started()
    lab.host.domains[machine.uuid].obeys = False
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    await eventually(lambda: "shutdown" in lab.hypervisor.calls)
    lab.hypervisor.crash(machine.uuid)
    await ended(lab, operation)
    machine = await lab.engine.machines.get(machine.id)
    assert (machine.status, machine.power, machine.error) == (Status.STOPPED, Power.OFF, None)
    lab.guests.clear()
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, SESSION))


async def test_a_guest_that_dies_before_its_shutdown_is_asked_for_is_off_as_was_wished(lab):
    machine = await lab.started()
    lab.hypervisor.deadline = 10
    lab.hypervisor.hang("shutdown")
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    await eventually(lambda: "shutdown" in lab.hypervisor.calls)
    lab.hypervisor.crash(machine.uuid)
    lab.hypervisor.release("shutdown")
    await ended(lab, operation)
    machine = await lab.engine.machines.get(machine.id)
    assert (machine.status, machine.power, machine.error) == (Status.STOPPED, Power.OFF, None)


@pytest.mark.parametrize("step", ["destroy", "undefine"])
async def test_a_guest_that_dies_while_it_is_deleted_is_deleted(lab, step):
    machine = await lab.started()
    lab.hypervisor.deadline = 10
    lab.hypervisor.hang(step)
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    await eventually(lambda: step in lab.hypervisor.calls)
    lab.hypervisor.crash(machine.uuid)
    lab.hypervisor.release(step)
    await ended(lab, operation)
    assert not lab.host.domains
    assert {name.partition("-")[0] for name in lab.volumes()} <= {"base", "home"}


async def test_a_guest_that_dies_while_it_goes_down_for_a_reboot_comes_up_again(lab):
    machine = await lab.started()
    lab.host.domains[machine.uuid].obeys = False
    operation = await lab.engine.machines.reboot(ALICE, machine.id)
    await eventually(lambda: "shutdown" in lab.hypervisor.calls)
    lab.guests.clear()
    lab.hypervisor.crash(machine.uuid)
    await lab.settle()
    await ended(lab, operation)
    assert (await lab.engine.machines.get(machine.id)).status == Status.RUNNING


async def test_a_guest_that_dies_while_it_comes_up_from_a_reboot_keeps_its_disk(lab):
    machine = await lab.started()
    volumes = lab.volumes()
    lab.template = {"silent": True}
    lab.guests.clear()
    operation = await lab.engine.machines.reboot(ALICE, machine.id)
    await eventually(lambda: machine.uuid in lab.guests)
    lab.hypervisor.crash(machine.uuid)
    await ended(lab, operation, OperationStatus.FAILED)
    assert (await lab.engine.machines.get(machine.id)).status == Status.FAILED
    assert lab.volumes() == volumes
