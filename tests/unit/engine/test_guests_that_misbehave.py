"""Guests that cannot be reached, lie, talk without end or do not listen; hosts that pause them."""

from __future__ import annotations

import asyncio
import json

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.errors import Conflict, HostUnreachable, HypervisorFailed, NoRoom
from cernvmapi.models import OperationStatus, Power, Status, VolumeChange
from cernvmcontroller.guests import agentlink
from cernvmcontroller.guests.agentlink import AgentLink
from cernvmcontroller.guests.agentwire import LineReader
from cernvmcontroller.guests.allowance import Allowance
from cernvmcontroller.guests.knock import Stranger, Unreachable
from cernvmcontroller.machines import reach


async def attempt(lab, **fields):
    machine = await lab.create(**fields)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    operation = await lab.engine.operations.wait(operation.id, 15)
    return await lab.engine.machines.get(machine.id), operation


def put(record, **values):
    for name, value in values.items():
        object.__setattr__(record, name, value)


# --- the way from the hub to the server ---


@pytest.fixture
def knocks(lab, monkeypatch):
    """Let the controller be on the machines' network; return what answers there, one after the other."""
    monkeypatch.setattr(reach, "is_ours", lambda _: True)
    put(lab.settings, reach_timeout=0.3)
    answers: list[Exception | None] = []
    asked = []

    async def knock(address, port, session):
        asked.append((address, port, session))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None:
            raise answer

    put(lab.engine._shop, knock=knock)
    answers.append(None)
    return answers, asked


async def test_the_hub_has_to_reach_the_server(lab, knocks):
    answers, asked = knocks
    answers[:] = [Unreachable("connection refused"), Unreachable("nothing comes back"), None]
    machine, operation = await attempt(lab)
    assert operation.status == OperationStatus.SUCCEEDED
    assert asked == [(machine.address, 8888, SESSION)] * 3


async def test_a_machine_without_its_address_fails_with_that_reason(lab, knocks):
    knocks[0][:] = [Unreachable("no route to host")]
    machine, operation = await attempt(lab)
    assert operation.error.code == "start-failed"
    assert f"does not reach it at {machine.address}:8888 (no route to host)" in operation.error.detail
    assert machine.status == Status.FAILED
    assert not lab.host.domains


async def test_another_server_on_the_port_fails_at_once(lab, knocks):
    put(lab.settings, reach_timeout=60)
    knocks[0][:] = [Stranger("it shows another certificate")]
    _, operation = await attempt(lab)
    assert "not that server: it shows another certificate" in operation.error.detail


async def test_an_agent_that_claims_a_server_is_not_believed(lab, knocks):
    lab.template = {"session": "s-made-up", "state": "ready"}
    knocks[0][:] = [Unreachable("connection refused")]
    _, operation = await attempt(lab)
    assert "(connection refused)" in operation.error.detail


async def test_a_crash_is_noticed_while_the_server_is_looked_for(lab, knocks):
    put(lab.settings, reach_timeout=60)
    knocks[0][:] = [Unreachable("nothing comes back")]
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: bool(knocks[1]))
    lab.hypervisor.crash(machine.uuid)
    done = await lab.engine.operations.wait(operation.id, 5)
    assert "went off while it started (crashed)" in done.error.detail


async def test_a_start_is_cancelled_while_the_server_is_looked_for(lab, knocks):
    put(lab.settings, reach_timeout=60)
    knocks[0][:] = [Unreachable("nothing comes back")]
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: bool(knocks[1]))
    await lab.engine.operations.cancel(ALICE, operation.id)
    await lab.until(machine.id, Status.STOPPED)
    assert not lab.host.domains


TOO_LATE = {
    "define": (None, {}, SESSION, "did not answer within"),
    "agent": ("boot_timeout", {"silent": True}, SESSION, "did not come up within 0.3 seconds"),
    "session": ("session_timeout", {}, None, "which nobody sent within 0.3 seconds"),
    "ready": ("server_timeout", {"slow": True}, SESSION, "did not answer within 0.3 seconds"),
    "reach": ("reach_timeout", {}, SESSION, "does not reach it"),
}
"""Step → the setting that is its deadline, the guest and the session with which it lasts, what is said."""


@pytest.mark.parametrize("step", TOO_LATE)
async def test_a_start_ends_in_time_in_every_phase(lab, knocks, step):
    setting, guest, session, words = TOO_LATE[step]
    knocks[0][:] = [Unreachable("nothing comes back")]
    lab.template = guest
    if setting is None:
        lab.hypervisor.hang(step)
    else:
        put(lab.settings, **{"reach_timeout": 10, setting: 0.3})
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, session)
    done = await lab.engine.operations.wait(operation.id, 8)
    assert words in done.error.detail
    machine = await lab.engine.machines.get(machine.id)
    assert (machine.status, machine.power) == (Status.FAILED, Power.OFF)
    assert not lab.host.domains
    assert {name.partition("-")[0] for name in lab.volumes()} <= {"base", "home"}
    # And nothing of it is in the way of the next start.
    if setting is None:
        lab.hypervisor.release(step)
    knocks[0][:] = [None]
    lab.guest(machine.uuid).__dict__.update(silent=False, slow=False, state="waiting", session=None)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 8)
    assert done.status == OperationStatus.SUCCEEDED, done


# --- agents that talk too much, or do not listen ---


def test_what_is_said_at_once_is_free_and_the_rest_waits():
    allowance = Allowance(burst=10, rate=5)
    assert [allowance.spend(1, 0.0) for _ in range(10)] == [0.0] * 10
    assert allowance.spend(5, 0.0) == 1.0
    assert allowance.spend(0, 1.0) == 0.0
    assert allowance.spend(10, 100.0) == 0.0


@pytest.mark.parametrize("flaps", [False, True], ids=["same", "flapping"])
async def test_hellos_without_end_cost_little(lab, flaps, monkeypatch):
    machine = await lab.started()
    link = lab.engine.links.get(machine.id)
    link._allowance = Allowance(burst=20, rate=0.001)
    guest = lab.guest(machine.uuid)
    looks = lab.hypervisor.calls.count("domain")
    heard = len(guest.heard)
    hello = {"type": "hello", "protocol": 1, "state": "ready", "session": guest.session}
    lines = [json.dumps(hello | {"boot_id": f"b-{n if flaps else 0}"}).encode() for n in range(5000)]
    await guest.stream.write(b"\n".join(lines) + b"\n")
    await eventually(lambda: link._allowance._left < 0)
    await lab.engine.reconciler.quiet()
    assert sum(said["type"] == "welcome" for said in guest.heard[heard:]) <= 20
    assert lab.hypervisor.calls.count("domain") - looks <= 25
    # Others are served all the while.
    assert (await lab.started(server_name="other")).status == Status.RUNNING


async def test_a_long_line_in_small_pieces_is_looked_at_once(monkeypatch):
    looked = 0

    class Counting(bytearray):
        def find(self, what, begin=0):
            nonlocal looked
            looked += len(self) - begin
            return super().find(what, begin)

    reader = LineReader()
    reader._rest = Counting()
    for _ in range(1000):
        reader.feed(b"x" * 1000)
    assert looked < 3_000_000


@pytest.mark.parametrize("kind", ["failed", "exited"])
async def test_what_ended_is_not_brought_back_by_an_old_message(kind):
    class Replay:
        """A stream with what a guest said, and then again."""

        def __init__(self):
            self.lines = [
                {"type": "hello", "protocol": 1, "state": "starting", "session": "s-1"},
                {"type": "ready", "session": "s-1", "port": 8888},
                {"type": kind, "session": "s-1"},
                {"type": "ready", "session": "s-1", "port": 8888},
            ]

        async def read(self):
            if not self.lines:
                await asyncio.Event().wait()
            return json.dumps(self.lines.pop(0)).encode() + b"\n"

        async def write(self, data):
            pass

        async def close(self):
            pass

    stream = Replay()

    async def opener():
        return stream

    link = AgentLink("m-1", opener, lambda: None)
    await eventually(lambda: not stream.lines)
    await asyncio.sleep(0)
    assert link.state == kind
    await link.close()


async def test_a_guest_that_does_not_read_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(agentlink, "_HEARD_WITHIN", 0.05)
    opened = []

    class Stuck:
        def __init__(self):
            self.closed = asyncio.Event()
            self.said = [b'{"type":"hello","protocol":1}\n']

        async def read(self):
            if self.said:
                return self.said.pop()
            await self.closed.wait()
            return b""

        async def write(self, data):
            await self.closed.wait()
            raise ConnectionResetError("closed")

        async def close(self):
            self.closed.set()

    async def opener():
        opened.append(Stuck())
        return opened[-1]

    link = AgentLink("m-1", opener, lambda: None, retry=0.01)
    await eventually(lambda: len(opened) > 1)
    assert opened[0].closed.is_set()
    with pytest.raises(ConnectionError):
        await link.ask("clock", 5, time=1)
    await link.close()


async def test_an_agent_that_falls_silent_does_not_keep_a_machine_from_ending(lab):
    machine = await lab.started()
    put(lab.settings, agent_stop_timeout=0.2)
    guest = lab.guest(machine.uuid)

    async def nothing(_message):
        pass

    guest.answer = nothing
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 5)).status == OperationStatus.SUCCEEDED
    assert lab.host.domains[machine.uuid].power != Power.ON


# --- hosts that pause machines ---


async def test_a_machine_on_a_full_pool_says_so_and_goes_on_when_there_is_room(lab):
    machine = await lab.started()
    pool = lab.host.pools["labhub-host1"]
    capacity, pool.capacity = pool.capacity, 0
    lab.hypervisor.pause(machine.uuid, "ioerror")
    found = await lab.until_true(machine.id, lambda found: found.error is not None)
    assert (found.status, found.power) == (Status.RUNNING, Power.PAUSED)
    assert "storage is full" in found.error.detail
    assert "goes on by itself" in found.error.detail
    pool.capacity = capacity
    lab.engine.reconciler.poke(machine.id)  # as the poll does
    found = await lab.until_true(machine.id, lambda found: found.power == Power.ON and found.error is None)
    assert found.status == Status.RUNNING
    await eventually(lambda: "clock" in [said["type"] for said in lab.guest(machine.uuid).heard])


async def test_a_machine_that_somebody_paused_is_left_to_them(lab):
    machine = await lab.started()
    lab.hypervisor.pause(machine.uuid, "user")
    found = await lab.until_true(machine.id, lambda found: found.error is not None)
    assert "Somebody paused the machine" in found.error.detail
    assert "resume" not in lab.hypervisor.calls


# --- what cannot be brought to a host ---


def base(lab):
    return [name for name in lab.volumes() if name.startswith("base-")]


async def test_a_damaged_image_is_never_a_base(lab):
    image = lab.manifest.parent / "appliance.qcow2"
    data = image.read_bytes()
    image.write_bytes(data[:-1] + b"?")
    machine, operation = await attempt(lab)
    assert "is damaged" in operation.error.detail
    assert (machine.status, base(lab)) == (Status.FAILED, [])
    image.write_bytes(data)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED


async def test_an_image_that_is_gone_is_said(lab):
    (lab.manifest.parent / "appliance.qcow2").unlink()
    _, operation = await attempt(lab)
    assert "cannot be read" in operation.error.detail


@pytest.mark.parametrize("how", ["changed", "removed"])
async def test_an_image_that_changes_while_it_is_copied_is_no_base(lab, how):
    image = lab.manifest.parent / "appliance.qcow2"
    lab.hypervisor.hang("upload_volume")
    lab.hypervisor.deadline = 10
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: "upload_volume" in lab.hypervisor.calls)
    if how == "changed":
        image.write_bytes(image.read_bytes() + b"more")
    else:
        image.unlink()
    lab.hypervisor.release("upload_volume")
    done = await lab.engine.operations.wait(operation.id, 10)
    assert ("is damaged" if how == "changed" else "cannot be read") in done.error.detail
    assert base(lab) == []


async def test_a_pool_that_becomes_full_in_a_copy_has_room_again(lab):
    words = "cannot write to stream: No space left on device"
    lab.hypervisor.lose_reply("upload_volume", HypervisorFailed(words))
    machine, operation = await attempt(lab)
    assert operation.error.code == NoRoom.code
    assert "The storage pool labhub-host1 of the host host1 is full" in operation.error.detail
    assert (machine.status, lab.volumes()) == (Status.FAILED, set())


# --- reboots and homes over restarts ---


async def test_a_reboot_that_nobody_has_a_session_for_is_refused(lab):
    machine = await lab.started()
    put(lab.settings, resend_timeout=0.05)
    await lab.restart()
    await eventually(lambda: (link := lab.engine.links.get(machine.id)) is not None and link.connected)
    with pytest.raises(Conflict, match="session is not known any more"):
        await lab.engine.machines.reboot(ALICE, machine.id)
    found = await lab.engine.machines.get(machine.id)
    assert (found.status, found.awaiting_session) == (Status.RUNNING, False)
    assert lab.hypervisor.calls.count("shutdown") == 0


async def test_a_reboot_after_a_restart_gets_the_session_from_the_hub(lab):
    machine = await lab.started()
    await lab.restart()
    await eventually(lambda: (link := lab.engine.links.get(machine.id)) is not None and link.connected)
    asking = asyncio.create_task(lab.engine.machines.reboot(ALICE, machine.id))
    await lab.until_true(machine.id, lambda found: found.awaiting_session)
    await lab.engine.machines.put_session(ALICE, machine.id, SESSION)
    operation = await asking
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.SUCCEEDED, done


async def next_controller(lab, _home):
    await lab.restart()


async def host_answers_again(lab, _home):
    lab.hypervisor.disconnect()
    await eventually(lambda: not lab.engine.inventory.alive("host1"))
    lab.hypervisor.reconnect()


async def asked_for_anew(lab, home):
    await lab.engine.volumes.delete(ALICE, home)


@pytest.mark.parametrize("then", [next_controller, host_answers_again, asked_for_anew])
async def test_a_home_whose_deletion_nobody_saw_end_is_given_to_nobody(lab, then):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    lab.hypervisor.hang("delete_volume")
    with pytest.raises(HostUnreachable):
        await lab.engine.volumes.delete(ALICE, machine.home)
    [operation] = (await lab.engine.operations.page(status=[OperationStatus.RUNNING])).items
    assert (operation.action, operation.subject) == ("volume.delete", f"volume/{machine.home}")
    with pytest.raises(Conflict, match="is being deleted"):
        await lab.create()
    with pytest.raises(Conflict, match="is being deleted"):
        await lab.engine.volumes.change(ALICE, machine.home, VolumeChange(owner="bob"))
    lab.hypervisor.release("delete_volume")
    # It is finished all the same, and the user gets a new one.
    await then(lab, machine.home)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.SUCCEEDED, done
    assert not any(name.startswith("home-") for name in lab.volumes())
    assert (await lab.started()).home != machine.home


async def test_a_home_whose_deletion_the_host_refused_is_as_it_was(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    lab.hypervisor.fail_next("delete_volume")
    with pytest.raises(HypervisorFailed):
        await lab.engine.volumes.delete(ALICE, machine.home)
    assert (await lab.started()).home == machine.home
