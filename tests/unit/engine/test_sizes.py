"""Machines that get another size: at once while they are off, else at their next start."""

from __future__ import annotations

import pytest
from lxml import etree
from scripted import ALICE

from cernvmapi.errors import Conflict, Invalid, NoRoom, NotFound
from cernvmapi.lifecycle import LockRequest, StoreRequest
from cernvmapi.models import MachineChange, MachineSize, OperationStatus, Status

PLAIN = {"notebook": False, "home": False, "server_name": None}


async def ended(lab, operation, status=OperationStatus.SUCCEEDED):
    found = await lab.engine.operations.wait(operation.id, 10)
    assert found.status is status, found


async def resize(lab, machine, **fields):
    return await lab.engine.machines.change(ALICE, machine.id, MachineChange(**fields))


def has(lab, machine):
    """Return what its domain has."""
    root = etree.fromstring(lab.host.domains[machine.uuid].xml.encode())
    return int(root.findtext("vcpu")), int(root.findtext("memory"))


async def running(lab):
    machine = await lab.create(**PLAIN)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    return await lab.engine.machines.get(machine.id)


async def test_a_machine_that_is_off_has_its_new_size_at_once(lab):
    machine = await lab.create(**PLAIN)
    found = await resize(lab, machine, vcpus=3, memory_mib=3072)
    assert (found.vcpus, found.memory_mib, found.pending) == (3, 3072, None)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    assert has(lab, machine) == (3, 3072)


async def test_a_flavor_is_a_size(lab):
    machine = await lab.create(**PLAIN)
    flavors = {flavor.id: flavor for flavor in await lab.engine.inventory.flavors()}
    large = flavors["large"]
    found = await resize(lab, machine, flavor="large")
    assert (found.flavor, found.vcpus, found.memory_mib) == ("large", large.vcpus, large.memory_mib)
    with pytest.raises(NotFound):
        await resize(lab, machine, flavor="no-such")


async def test_a_machine_that_runs_has_it_from_its_next_start_on(lab):
    machine = await running(lab)
    before = has(lab, machine)
    found = await resize(lab, machine, memory_mib=4096)
    assert found.pending == MachineSize(flavor=machine.flavor, vcpus=machine.vcpus, memory_mib=4096)
    assert (found.memory_mib, has(lab, machine)) == (machine.memory_mib, before)
    await lab.restart()
    await ended(lab, await lab.engine.machines.reboot(ALICE, machine.id))
    found = await lab.engine.machines.get(machine.id)
    assert (found.memory_mib, found.pending) == (4096, None)
    assert has(lab, machine) == (machine.vcpus, 4096)
    assert (await lab.engine.inventory.host("host1")).memory_promised_mib == 4096


async def test_who_wants_the_old_size_back_wants_nothing(lab):
    machine = await running(lab)
    await resize(lab, machine, memory_mib=4096)
    found = await resize(lab, machine, memory_mib=machine.memory_mib)
    assert found.pending is None


async def test_a_notebooks_machine_gets_it_at_its_reboot(lab):
    machine = await lab.started()
    await resize(lab, machine, vcpus=2)
    await ended(lab, await lab.engine.machines.reboot(ALICE, machine.id))
    found = await lab.engine.machines.get(machine.id)
    assert (found.vcpus, found.status) == (2, Status.RUNNING)


async def test_a_size_for_which_there_is_no_room_is_refused_and_nothing_changes(lab):
    machine = await running(lab)
    await resize(lab, machine, memory_mib=1024 * 1024)
    with pytest.raises(NoRoom):
        await lab.engine.machines.reboot(ALICE, machine.id)
    found = await lab.engine.machines.get(machine.id)
    assert (found.status, found.memory_mib) == (Status.RUNNING, machine.memory_mib)
    off = await lab.create(**PLAIN)
    with pytest.raises(NoRoom):
        await resize(lab, off, memory_mib=1024 * 1024)
    assert (await lab.engine.machines.get(off.id)).memory_mib == off.memory_mib


async def test_sizes_that_can_never_be_are_refused(lab):
    machine = await lab.create(**PLAIN)
    with pytest.raises(Invalid, match="of memory at least"):
        await resize(lab, machine, memory_mib=64)
    with pytest.raises(Conflict, match="host has 8 processors, 9 are asked for"):
        await resize(lab, machine, vcpus=9)
    await lab.engine.lifecycle.lock(ALICE, machine.id, LockRequest())
    with pytest.raises(Conflict, match="its size stays as it is"):
        await resize(lab, machine, vcpus=2)


async def test_what_is_stored_goes_on_as_it_was_and_gets_its_size_later(lab):
    machine = await running(lab)
    await ended(lab, await lab.engine.lifecycle.store(ALICE, machine.id, StoreRequest(lock=False)))
    found = await resize(lab, machine, memory_mib=4096)
    assert (found.memory_mib, found.pending.memory_mib) == (machine.memory_mib, 4096)
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    assert (await lab.engine.machines.get(machine.id)).memory_mib == machine.memory_mib
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    assert (await lab.engine.machines.get(machine.id)).memory_mib == 4096


async def test_the_hub_finds_its_machine_again_with_a_size_that_waits(lab):
    machine = await lab.started()
    await resize(lab, machine, vcpus=2)
    assert (await lab.create()).id == machine.id
