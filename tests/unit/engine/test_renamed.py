"""A user or a server with another name: the rows say so at once, and what hosts have of it follows."""

from __future__ import annotations

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.errors import Conflict, HypervisorFailed, Invalid
from cernvmapi.models import MachineChange, MachineCreate, VolumeChange
from cernvmcontroller import naming
from cernvmcontroller.hypervisor import metadata
from cernvmcontroller.machines import sidecar
from cernvmcontroller.store import Actor

ADMIN = Actor("admin")
ACCOUNT = "7@2026-01-01T00:00:00"


def told(lab, machine):
    """Return whose the domain says that it is."""
    found = metadata.parse(lab.host.domains[machine.uuid].xml)
    return found.owner, found.server_name


def beside(lab, home):
    """Return whose the sidecar says that the home is."""
    volume = lab.host.pools["labhub-host1"].volumes.get(naming.sidecar_volume(home))
    found = sidecar.decode(volume.data) if volume else None
    return found and (found.owner, found.server_name, found.owner_id)


async def change(lab, machine, **fields):
    return await lab.engine.machines.change(ADMIN, machine.id, MachineChange(**fields))


async def test_a_running_machine_follows_its_user_to_another_name_with_all_that_it_has(lab):
    machine = await lab.started(owner_id=ACCOUNT)
    changed = await change(lab, machine, owner="alicia")
    assert (changed.owner, changed.server_name, changed.status) == ("alicia", "", "running")
    await eventually(lambda: told(lab, machine) == ("alicia", ""))
    assert beside(lab, machine.home) == ("alicia", "", ACCOUNT)
    owners = {one.owner for one in (await lab.engine.volumes.page()).items if one.owner is not None}
    assert owners == {"alicia"}
    assert lab.host.domains[machine.uuid].power == "on"


async def test_a_lost_database_does_not_forget_the_new_name(lab):
    machine = await lab.started()
    await change(lab, machine, owner="alicia", server_name="thesis")
    await eventually(lambda: told(lab, machine) == ("alicia", "thesis"))
    await lab.end()
    lab.lose_database()
    engine = await lab.begin()
    await eventually(lambda: not engine.census.missing)
    found = await engine.machines.get(machine.id)
    assert (found.owner, found.server_name) == ("alicia", "thesis")
    assert (await engine.volumes.get(machine.home)).server_name == "thesis"


async def test_a_machine_that_is_off_follows_too_and_starts_under_its_new_name(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.poweroff(ALICE, machine.id)).id, 10)
    await change(lab, machine, server_name="thesis")
    await eventually(lambda: told(lab, machine) == ("alice", "thesis"))
    again = await lab.started(server_name="thesis")
    assert (again.id, again.home) == (machine.id, machine.home)


async def test_a_machine_that_starts_is_renamed_when_it_runs(lab):
    lab.template = {"slow": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await lab.until_true(machine.id, lambda found: found.phase == "server")
    await change(lab, machine, owner="alicia")
    await lab.guest(machine.uuid).ready()
    assert (await lab.engine.operations.wait(operation.id, 10)).status == "succeeded"
    await eventually(lambda: told(lab, machine) == ("alicia", ""))


async def test_a_host_that_refuses_at_first_is_asked_again(lab):
    machine = await lab.started()
    lab.hypervisor.fail_next("describe", times=2)
    await change(lab, machine, owner="alicia")
    await eventually(lambda: told(lab, machine) == ("alicia", ""))


async def test_a_sidecar_that_cannot_be_written_is_written_when_the_host_is_back(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    lab.hypervisor.fail_next("upload_volume", HypervisorFailed("no"))
    await lab.engine.volumes.change(ADMIN, machine.home, VolumeChange(owner="alicia"))
    running = await lab.engine.operations.page(subject=f"volume/{machine.home}", status=["running"])
    assert [one.action for one in running.items] == ["volume.change"]
    lab.hypervisor.disconnect()
    lab.hypervisor.reconnect()
    await eventually(lambda: beside(lab, machine.home) == ("alicia", "", None))
    ended = await lab.engine.operations.wait(running.items[0].id, 10)
    assert ended.status == "succeeded"


async def test_a_kept_machine_is_found_by_the_renamed_user_of_the_same_account(lab):
    machine = await lab.started(owner_id=ACCOUNT)
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(ALICE, machine.id)).id, 10)
    asked = MachineCreate(server_name="", notebook=True, home=True, owner_id=ACCOUNT)
    found, new = await lab.engine.machines.create(ADMIN, asked, "alicia")
    assert (found.id, found.owner, new) == (machine.id, "alicia", False)
    await eventually(lambda: told(lab, machine) == ("alicia", ""))
    assert beside(lab, machine.home) == ("alicia", "", ACCOUNT)


async def test_two_machines_or_two_homes_never_get_one_server(lab):
    first, second = await lab.started(), await lab.started(server_name="second")
    with pytest.raises(Conflict, match=f"has the machine {first.id} already"):
        await change(lab, second, server_name="")
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, first.id)).id, 10)
    with pytest.raises(Conflict, match=f"has the home {first.home} already"):
        await change(lab, second, server_name="")
    assert told(lab, second) == ("alice", "second")
    assert (await lab.engine.machines.get(second.id)).server_name == "second"


async def test_a_machine_without_a_notebook_has_no_server_to_rename(lab):
    machine = await lab.create(notebook=False, home=False, server_name=None)
    with pytest.raises(Invalid, match="serves no hub server"):
        await change(lab, machine, server_name="x")
    assert (await change(lab, machine, owner="bob")).owner == "bob"


async def test_name_labels_and_notes_are_changed_and_what_is_not_named_stays(lab):
    machine = await lab.create(labels={"a": "1"}, notes="first")
    changed = await change(lab, machine, name="Thesis", labels={"b": "2"})
    assert (changed.name, changed.labels, changed.notes) == ("Thesis", {"b": "2"}, "first")
    assert (await change(lab, machine, notes="")).notes == ""
    last = lab.engine.events.last_id()
    await change(lab, machine, name="Thesis", notes="")
    assert lab.engine.events.last_id() == last, "nothing changed, nothing is told"
    assert [one.id for one in (await lab.engine.machines.page(search="thesis")).items] == [machine.id]
