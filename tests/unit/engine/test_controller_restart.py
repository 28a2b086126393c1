"""A controller that ends anywhere, or loses its database, finds everything again."""

from __future__ import annotations

import hashlib
import json

import pytest
from scripted import ALICE, BOB, SESSION, eventually

from cernvmapi.errors import NotFound
from cernvmapi.models import OperationStatus, Power, Session, Status, VolumeKind

STEPS = [
    "upload_volume",
    "create_volume",
    "define",
    "start",
    "open_console",
    "open_channel",
]


async def test_a_running_machine_is_found_again(lab):
    machine = await lab.started()
    guest = lab.guest(machine.uuid)
    session, before = guest.session, len(guest.heard)
    engine = await lab.restart()
    await eventually(lambda: (link := engine.links.get(machine.id)) is not None and link.connected)
    await engine.reconciler.quiet()
    found = await engine.machines.get(machine.id)
    assert (found.status, found.power, found.awaiting_session) == (Status.RUNNING, Power.ON, False)
    assert guest.session == session
    assert "session" not in [message["type"] for message in guest.heard[before:]]


@pytest.mark.parametrize("step", STEPS)
async def test_a_start_that_was_interrupted_anywhere_is_gone_on_with(lab, step):
    lab.hypervisor.deadline = 30
    lab.hypervisor.hang(step)
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: step in lab.hypervisor.calls)
    await lab.restart()
    await lab.until_true(machine.id, lambda found: found.awaiting_session)
    await lab.engine.machines.put_session(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.SUCCEEDED
    assert len(lab.host.domains) == 1


async def test_a_server_that_starts_meanwhile_is_not_given_a_session_again(lab):
    lab.template = {"slow": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests and lab.guest(machine.uuid).state == "starting")
    engine = await lab.restart()
    await eventually(lambda: (link := engine.links.get(machine.id)) is not None and link.connected)
    await lab.guest(machine.uuid).ready()
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert [message["type"] for message in lab.guest(machine.uuid).heard].count("session") == 1


async def test_a_guest_that_lost_its_session_asks_for_it(lab):
    machine = await lab.started()
    guest = lab.guest(machine.uuid)
    await lab.end()
    guest.boot, guest.session, guest.state = 1, None, "waiting"
    await lab.begin()
    await lab.until_true(machine.id, lambda found: found.awaiting_session)
    await lab.engine.machines.put_session(ALICE, machine.id, Session(env={"NEW": "1"}))
    await eventually(lambda: guest.state == "ready")
    await lab.until_true(machine.id, lambda found: not found.awaiting_session)


async def test_an_interrupted_shutdown_is_gone_on_with(lab):
    machine = await lab.started()
    lab.host.domains[machine.uuid].obeys = False
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    await eventually(lambda: "shutdown" in lab.hypervisor.calls)
    engine = await lab.restart()
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert lab.host.domains[machine.uuid].power == Power.OFF


@pytest.mark.parametrize("step", ["destroy", "undefine", "delete_volume"])
async def test_an_interrupted_delete_is_gone_on_with(lab, step):
    machine = await lab.started()
    lab.hypervisor.deadline = 30
    lab.hypervisor.hang(step)
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    await eventually(lambda: step in lab.hypervisor.calls)
    engine = await lab.restart()
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert not lab.host.domains
    assert {name.partition("-")[0] for name in lab.volumes()} == {"base", "home"}


async def test_an_interrupted_undo_is_gone_on_with(lab):
    lab.template = {"fails": "no"}
    lab.hypervisor.deadline = 30
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    lab.hypervisor.hang("destroy")
    await eventually(lambda: "destroy" in lab.hypervisor.calls)
    engine = await lab.restart()
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.FAILED
    machine = await lab.until(machine.id, Status.FAILED)
    assert not lab.host.domains


async def test_a_machine_that_ended_meanwhile_is_not_running(lab):
    machine = await lab.started()
    await lab.end()
    lab.host.domains[machine.uuid].power = Power.OFF
    lab.host.domains[machine.uuid].reason = "unknown"
    await lab.begin()
    machine = await lab.until(machine.id, Status.FAILED)
    assert "restarted" in machine.error.detail


async def test_a_host_that_does_not_answer_at_the_start_leaves_its_machines_unknown(lab):
    machine = await lab.started()
    await lab.end()

    def unreachable(_name, hypervisor):
        hypervisor.reachable = False

    lab.prepare = unreachable
    await lab.begin()
    machine = await lab.until_true(machine.id, lambda found: found.power == Power.UNKNOWN)
    assert machine.status == Status.RUNNING
    lab.hypervisor.reconnect()
    await lab.until_true(machine.id, lambda found: found.power == Power.ON)


async def test_acceleration_is_probed_once(lab):
    assert lab.hypervisor.calls.count("probe_acceleration") == 1
    await lab.engine.inventory.links["host1"].acceleration


async def test_a_disk_stays_on_its_base_when_the_appliance_was_built_anew(lab):
    machine = await lab.started()
    old = base_of(lab, machine)
    image = lab.manifest.parent / "appliance.qcow2"
    image.write_bytes(image.read_bytes() + b"new")
    record = json.loads(lab.manifest.read_text())
    record |= {"sha256": hashlib.sha256(image.read_bytes()).hexdigest(), "size": image.stat().st_size}
    lab.manifest.write_text(json.dumps(record))
    engine = await lab.restart()
    await lab.until(machine.id, Status.RUNNING)
    operation = await engine.machines.poweroff(ALICE, machine.id)
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert (await lab.started()).id == machine.id
    assert base_of(lab, machine) == old


def base_of(lab, machine):
    [path] = [path for path in lab.host.domains[machine.uuid].sources()["file"] if "/base-" in path]
    return path


async def test_machines_outlive_their_appliance(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(ALICE, machine.id)).id, 10)
    base = base_of(lab, machine)
    lab.manifest = lab._manifest("pear")
    engine = await lab.restart()
    operation = await engine.machines.start(ALICE, machine.id, SESSION)
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert base_of(lab, machine) == base
    with pytest.raises(NotFound):
        await lab.create(server_name="new", appliance="apple")


async def test_a_lost_database_is_rebuilt(lab):
    running, stopped = await lab.started(ALICE), await lab.started(BOB)
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(BOB, stopped.id)).id, 10)
    stranger = lab.host.domains[running.uuid].xml
    await lab.end()
    lab.lose_database()
    other_hub = stranger.replace(running.uuid, "11111111-2222-4333-8444-555555555555").replace(
        running.id, "m-somebodyelse"
    )
    lab.host.define(other_hub)
    lab.disagrees = "somebody copied a domain"

    engine = await lab.begin()
    await lab.until(running.id, Status.RUNNING)
    await engine.reconciler.quiet()
    found = await engine.machines.get(running.id)
    for name in ("owner", "server_name", "address", "mac", "home", "uuid", "vcpus", "memory_mib", "flavor"):
        assert getattr(found, name) == getattr(running, name), name
    assert found.power == Power.ON
    assert (await engine.machines.get(stopped.id)).status == Status.STOPPED
    assert (await engine.machines.page()).total == 2
    homes = await engine.volumes.page(kind=VolumeKind.HOME)
    assert {(volume.owner, volume.machine) for volume in homes.items} == {
        ("alice", running.id),
        ("bob", None),
    }
    # Its address is taken, its session is the guest's, and it can be ended and started as before.
    third = await lab.create(BOB, server_name="x", home=False)
    assert third.address not in (running.address, stopped.address)
    await eventually(lambda: (link := engine.links.get(running.id)) is not None and link.connected)
    again = await lab.started(BOB)
    assert (again.id, again.home) == (stopped.id, stopped.home)
    operation = await engine.machines.delete(ALICE, running.id)
    assert (await engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
