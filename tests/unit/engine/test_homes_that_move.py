"""Homes that are brought to the host where there is room for their machine."""

from __future__ import annotations

import pytest
from scripted import ALICE, SESSION, eventually
from test_moving import ROOT, tidied

from cernvmapi.errors import HypervisorFailed, NoRoom
from cernvmapi.hosts import HostChange
from cernvmapi.models import OperationStatus, Status
from cernvmcontroller import naming


async def away(lab):
    """Leave a home on the first host, which takes no machines any more."""
    machine = await lab.started(ALICE, host="host1")
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    lab.hosts["host1"].pools["labhub-host1"].volumes[naming.home_volume(machine.home)].data = b"results"
    await lab.engine.hosts.change(ROOT, "host1", HostChange(maintenance=True))
    return machine.home


def homes(lab, home):
    """Return the hosts that have anything of a home."""
    names = {naming.home_volume(home), naming.sidecar_volume(home)}
    return [host for host in lab.hosts if names & lab.volumes(host)]


async def test_a_home_comes_to_the_host_where_there_is_room(two_hosts):
    lab = two_hosts
    home = await away(lab)
    machine = await lab.started(ALICE)
    assert (machine.host, machine.home) == ("host2", home)
    await tidied(lab, machine)
    assert homes(lab, home) == ["host2"]
    assert lab.hosts["host2"].pools["labhub-host2"].volumes[naming.home_volume(home)].data == b"results"
    volume = await lab.engine.volumes.get(home)
    assert (volume.pool, volume.machine) == ("labhub-host2", machine.id)


async def test_a_home_whose_host_does_not_answer_stays_and_so_does_its_machine(two_hosts):
    lab = two_hosts
    await away(lab)
    lab.hypervisors["host1"].disconnect()
    await eventually(lambda: not lab.engine.inventory.alive("host1"))
    with pytest.raises(NoRoom, match="does not reach the home volume"):
        await lab.create(ALICE)
    lab.hypervisors["host1"].reconnect()


@pytest.mark.parametrize("verb", ["copy_volume", "upload_volume", "define"])
async def test_a_controller_that_is_killed_meanwhile_loses_no_home(two_hosts, verb):
    lab = two_hosts
    home = await away(lab)
    machine = await lab.create(ALICE)
    for hypervisor in lab.hypervisors.values():
        hypervisor.hang(verb)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: any(verb in each.calls for each in lab.hypervisors.values()))
    await lab.restart()
    await lab.engine.machines.put_session(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status is OperationStatus.SUCCEEDED, done
    await tidied(lab, machine)
    assert homes(lab, home) == ["host2"]
    assert lab.hosts["host2"].pools["labhub-host2"].volumes[naming.home_volume(home)].data == b"results"


async def test_a_start_that_is_cancelled_leaves_the_home_where_it_was(two_hosts):
    lab = two_hosts
    home = await away(lab)
    machine = await lab.create(ALICE)
    lab.hypervisors["host1"].hang("copy_volume")
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: "copy_volume" in lab.hypervisors["host1"].calls)
    await lab.engine.operations.cancel(ALICE, operation.id)
    await lab.until(machine.id, Status.STOPPED)
    lab.hypervisors["host1"].release("copy_volume")
    assert homes(lab, home) == ["host1"]
    assert (await lab.engine.volumes.get(home)).pool == "labhub-host1"


async def test_a_copy_that_fails_fails_the_start_and_the_home_is_where_it_was(two_hosts):
    lab = two_hosts
    home = await away(lab)
    machine = await lab.create(ALICE)
    lab.hypervisors["host1"].fail_next("copy_volume", HypervisorFailed("no space left on device"))
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert (done.status, done.error.detail) == (OperationStatus.FAILED, "no space left on device")
    await lab.until(machine.id, Status.FAILED)
    assert homes(lab, home) == ["host1"]
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    assert (await lab.engine.operations.wait(operation.id, 10)).status is OperationStatus.SUCCEEDED
    await tidied(lab, machine)
    assert homes(lab, home) == ["host2"]
