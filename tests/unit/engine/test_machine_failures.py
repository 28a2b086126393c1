"""What goes wrong is said in a sentence, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest
from scripted import ALICE, SESSION, Guest, eventually
from structlog.testing import capture_logs

from cernvmapi.errors import Conflict, HostUnreachable, HypervisorFailed, NotFound
from cernvmapi.models import OperationStatus, Power, Session, Status
from cernvmcontroller.guests.agentwire import Garbage, Hello, LineReader
from cernvmcontroller.hypervisor.interface import DomainEvent, DomainEventKind

VERBS = ["volume", "upload_volume", "create_volume", "define", "start", "domain"]


def prefixes(lab):
    return {name.partition("-")[0] for name in lab.volumes()}


async def attempt(lab, **fields):
    machine = await lab.create(**fields)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    operation = await lab.engine.operations.wait(operation.id, 15)
    return await lab.engine.machines.get(machine.id), operation


async def converges(lab, machine):
    """The same machine can be started after whatever failed."""
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 15)
    assert done.status == OperationStatus.SUCCEEDED, done


@pytest.mark.parametrize("verb", VERBS)
async def test_each_step_that_fails_fails_the_start_and_leaves_nothing(lab, verb):
    lab.hypervisor.fail_next(verb, HypervisorFailed("libvirt says no"))
    machine, operation = await attempt(lab)
    assert operation.status == OperationStatus.FAILED
    assert operation.error.detail == "libvirt says no"
    assert machine.status == Status.FAILED
    assert machine.error.code == "hypervisor-failed"
    assert machine.actions == [
        "start",
        "snapshot",
        "revert",
        "forget-snapshot",
        "move",
        "xml",
        "lock",
        "delete",
    ]
    assert not lab.host.domains
    assert prefixes(lab) <= {"base", "home"}
    assert (await lab.engine.inventory.hosts())[0].memory_promised_mib == 0
    await converges(lab, machine)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_lost_reply_is_tried_again(lab, verb):
    lab.hypervisor.lose_reply(verb)
    _, operation = await attempt(lab)
    assert operation.status == OperationStatus.SUCCEEDED


ENDS = ["shutdown", "destroy", "undefine", "delete_volume"]


@pytest.mark.parametrize("verb", ENDS)
async def test_a_lost_reply_to_an_end_costs_nothing(lab, verb):
    machine = await lab.started()
    lab.hypervisor.lose_reply(verb)
    await ended(lab, machine)
    assert not lab.hypervisor._lost[verb], "it was called"


@pytest.mark.parametrize("verb", ENDS)
async def test_a_host_that_goes_away_in_an_end_is_gone_on_with_when_it_is_back(lab, verb):
    machine = await lab.started()
    lab.hypervisor.deadline = 10
    lab.hypervisor.hang(verb)
    ending = asyncio.create_task(ended(lab, machine))
    await eventually(lambda: verb in lab.hypervisor.calls)
    lab.hypervisor.disconnect()
    lab.hypervisor.release(verb)
    await eventually(lambda: not lab.engine.inventory.alive("host1"))
    assert not ending.done()
    lab.hypervisor.reconnect()
    await ending


async def ended(lab, machine):
    """Shut a machine down and delete it; nothing of it is left but its home."""
    for verb in (lab.engine.machines.shutdown, lab.engine.machines.delete):
        operation = await verb(ALICE, machine.id)
        done = await lab.engine.operations.wait(operation.id, 10)
        assert done.status == OperationStatus.SUCCEEDED, done
    assert not lab.host.domains
    assert prefixes(lab) <= {"base", "home"}


async def test_a_host_that_hangs_fails_the_start_in_time(lab):
    lab.hypervisor.hang("define")
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 15)
    assert done.status == OperationStatus.FAILED
    assert "did not answer within" in done.error.detail
    lab.hypervisor.release("define")


async def test_a_guest_that_never_answers_fails_with_the_end_of_its_console(lab, monkeypatch):
    lab.template = {"silent": True}
    machine = await lab.create()
    lab.host.consoles[machine.uuid] = b"Kernel panic - not syncing: VFS\r\n"
    object.__setattr__(lab.settings, "boot_timeout", 0.3)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 15)
    assert done.error.code == "start-failed"
    assert "did not come up within" in done.error.detail
    machine = await lab.engine.machines.get(machine.id)
    assert machine.console_tail == "Kernel panic - not syncing: VFS"
    assert "Kernel panic" in (await lab.engine.machines.console(machine.id)).text
    assert not lab.host.domains


async def test_a_host_that_refuses_the_agents_channel_is_in_the_log_once(lab):
    lab.hypervisor.fail_next("open_channel", HypervisorFailed("No such file or directory"), times=3)
    with capture_logs() as said:
        await lab.started()
    reasons = [
        entry["reason"] for entry in said if entry["event"] == "the host does not open the agent's channel"
    ]
    assert reasons == ["No such file or directory"]


async def test_a_start_with_an_appliance_that_is_not_yet_there_is_refused_until_it_is(lab):
    lab.engine.repository.expect("pear")
    with pytest.raises(NotFound, match="pear is still being downloaded; try again when it is ready"):
        await lab.create(appliance="pear")
    assert (await lab.engine.machines.page()).items == []
    assert not lab.volumes()
    # A machine that has its disk starts, whatever comes in the place of what was taken away.
    machine = await lab.started()
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    await lab.engine.operations.wait(operation.id, 10)
    lab.engine.repository._known.clear()
    lab.engine.repository.expect("apple")
    await converges(lab, machine)


async def test_a_server_that_does_not_start_says_why(lab):
    lab.template = {"fails": "jupyterhub-singleuser ended with code 1."}
    machine, operation = await attempt(lab)
    assert "jupyterhub-singleuser ended with code 1." in operation.error.detail
    assert "ImportError: x" in machine.console_tail
    assert machine.status == Status.FAILED


async def test_a_refused_session_says_why(lab):
    lab.template = {"refuses": "no such command"}
    _, operation = await attempt(lab)
    assert "no such command" in operation.error.detail


async def test_a_protocol_that_does_not_fit_is_said_clearly(lab):
    lab.template = {"protocol": 7}
    machine, operation = await attempt(lab)
    assert operation.error.code == "protocol-mismatch"
    assert "version 7" in operation.error.detail
    assert machine.status == Status.FAILED


async def test_a_guest_that_dies_while_it_boots_is_noticed_at_once(lab):
    lab.template = {"silent": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests)
    lab.hypervisor.crash(machine.uuid)
    done = await lab.engine.operations.wait(operation.id, 5)
    assert "went off while it started (crashed)" in done.error.detail


@pytest.mark.parametrize(
    "first",
    [
        b"\xff\xfe garbage \x00\n",
        b'{"type":"hello"}\n',
        b'{"type":"ready","session":"s-x","port":99999999}\n',
        b'{"type":"launch missiles"}\n[]\n""\n{"a":\n',
        b"[" * 100_000 + b"\n",
        b"x" * (3 * 1024 * 1024) + b"\n",
        b'{"type":"reply","id":1,"ok":true}\n' * 100,
        b'{"type":"ready","session":null,"port":8888}\n',
    ],
    ids=["bytes", "schema", "port", "type", "depth", "length", "replies", "null"],
)
async def test_garbage_from_a_guest_changes_nothing(lab, first):
    lab.template = {"first": first}
    _, operation = await attempt(lab)
    assert operation.status == OperationStatus.SUCCEEDED


async def test_a_guest_that_lies_about_its_session_is_not_believed(lab):
    lab.template = {"wrong_session": True}
    object.__setattr__(lab.settings, "server_timeout", 0.3)
    _, operation = await attempt(lab)
    assert operation.status == OperationStatus.FAILED
    assert "did not answer within" in operation.error.detail


async def test_a_line_without_an_end_costs_no_memory():
    reader = LineReader(limit=1000)
    found = []
    for _ in range(100):
        found += reader.feed(b"x" * 500)
        assert len(reader._rest) <= 1000
    found += reader.feed(b'\n{"type":"hello","protocol":1}\n')
    assert [type(message) for message in found] == [Garbage, Hello]


# --- what happens behind our back ---


async def test_a_guest_that_shuts_itself_down_is_stopped(lab):
    machine = await lab.started()
    lab.hypervisor.power_off(machine.uuid)
    machine = await lab.until(machine.id, Status.STOPPED, Status.FAILED)
    assert (machine.status, machine.error) == (Status.STOPPED, None)


@pytest.mark.parametrize(("how", "words"), [("crash", "crashed"), ("destroy", "powered the machine off")])
async def test_a_machine_that_somebody_ended_has_failed(lab, how, words):
    machine = await lab.started()
    if how == "crash":
        lab.hypervisor.crash(machine.uuid)
    else:
        await lab.hypervisor.destroy(machine.uuid)
    machine = await lab.until(machine.id, Status.FAILED)
    assert words in machine.error.detail
    assert (machine.power, machine.target) == (Power.OFF, "stopped")
    await converges(lab, machine)


async def test_a_machine_that_somebody_removed_from_its_host_starts_again_on_its_disk(lab):
    machine = await lab.started()
    volumes = lab.volumes()
    # As of a running domain that is undefined and ends then: both are seen at once, or one after the other.
    del lab.host.domains[machine.uuid]
    lab.hypervisor._emit(DomainEvent(machine.uuid, DomainEventKind.UNDEFINED))
    machine = await lab.until(machine.id, Status.FAILED)
    assert "not on its host any more" in machine.error.detail
    assert lab.volumes() == volumes
    lab.guests[machine.uuid] = Guest(boot=1)
    await converges(lab, machine)
    assert lab.volumes() == volumes


async def test_a_paused_machine_is_shown_as_paused(lab):
    machine = await lab.started()
    lab.hypervisor.pause(machine.uuid)
    await lab.until_true(machine.id, lambda found: found.power == Power.PAUSED)
    await lab.hypervisor.resume(machine.uuid)
    await lab.until_true(machine.id, lambda found: found.power == Power.ON)


async def test_a_machine_that_should_be_off_is_powered_off(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(ALICE, machine.id)).id, 10)
    await lab.hypervisor.start(machine.uuid)
    await eventually(lambda: lab.host.domains[machine.uuid].power == Power.OFF)


async def test_a_notebook_server_that_the_user_ends_stops_the_machine(lab):
    machine = await lab.started()
    await lab.guest(machine.uuid).exited(0)
    machine = await lab.until(machine.id, Status.STOPPED, Status.FAILED)
    assert (machine.status, machine.error) == (Status.STOPPED, None)


async def test_a_notebook_server_that_crashes_stops_the_machine_with_its_log(lab):
    machine = await lab.started()
    await lab.guest(machine.uuid).exited(137, "Killed")
    machine = await lab.until(machine.id, Status.FAILED)
    assert "code 137" in machine.error.detail
    assert "Killed" in machine.console_tail


async def test_a_guest_that_reboots_itself_gets_its_session_again(lab):
    machine = await lab.started()
    guest = lab.guest(machine.uuid)
    before = len(guest.heard)
    guest.boot, guest.session, guest.state = 1, None, "waiting"
    await guest.hello()
    await eventually(lambda: guest.state == "ready")
    assert "session" in [message["type"] for message in guest.heard[before:]]
    assert (await lab.engine.machines.get(machine.id)).status == Status.RUNNING


# --- hosts that do not answer ---


async def test_a_lost_host_makes_machines_unknown_and_not_stopped(lab):
    machine = await lab.started()
    lab.hypervisor.disconnect()
    machine = await lab.until_true(machine.id, lambda found: found.power == Power.UNKNOWN)
    assert machine.status == Status.RUNNING
    assert machine.unknown_since is not None
    assert machine.actions == []
    host = await lab.engine.inventory.host("host1")
    assert not host.alive
    assert host.reason == "the host went away"
    for verb in (lab.engine.machines.shutdown, lab.engine.machines.poweroff, lab.engine.machines.delete):
        with pytest.raises(HostUnreachable, match="unknown"):
            await verb(ALICE, machine.id)
    assert (await lab.engine.health()).status == "degraded"

    lab.hypervisor.reconnect()
    machine = await lab.until_true(machine.id, lambda found: found.power == Power.ON)
    assert machine.status == Status.RUNNING
    assert machine.unknown_since is None
    await eventually(lambda: lab.engine.links.get(machine.id).connected)


async def test_a_start_goes_on_when_its_host_comes_back(lab):
    lab.template = {"silent": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests)
    lab.hypervisor.disconnect()
    await lab.until_true(machine.id, lambda found: found.power == Power.UNKNOWN)
    lab.guest(machine.uuid).silent = False
    lab.hypervisor.reconnect()
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED


async def test_one_dead_host_does_not_slow_the_other(two_hosts):
    two_hosts.hypervisors["host1"].disconnect()
    await two_hosts.engine.reconciler.quiet()
    machine = await two_hosts.started()
    assert machine.host == "host2"


# --- cancel ---


@pytest.mark.parametrize("verb", ["upload_volume", "create_volume", "define", "start", "open_channel"])
async def test_a_start_is_cancelled_in_every_step_and_undone(lab, verb):
    lab.hypervisor.deadline = 10
    lab.hypervisor.hang(verb)
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: verb in lab.hypervisor.calls)
    cancelled = await lab.engine.operations.cancel(ALICE, operation.id)
    assert cancelled.status == OperationStatus.CANCELLED
    lab.hypervisor.release(verb)
    machine = await lab.until(machine.id, Status.STOPPED)
    assert machine.error is None
    assert not lab.host.domains
    assert prefixes(lab) <= {"base", "home"}
    with pytest.raises(Conflict, match="ended already"):
        await lab.engine.operations.cancel(ALICE, operation.id)
    await converges(lab, machine)


@pytest.mark.parametrize("guest", [{"silent": True}, {"slow": True}])
async def test_a_start_is_cancelled_while_it_waits_for_the_guest(lab, guest):
    lab.template = guest
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests)
    shutdown = await lab.engine.machines.shutdown(ALICE, machine.id)
    assert (await lab.engine.operations.wait(shutdown.id, 5)).status == OperationStatus.SUCCEEDED
    assert (await lab.engine.operations.get(operation.id)).status == OperationStatus.CANCELLED
    assert (await lab.engine.machines.get(machine.id)).status == Status.STOPPED
    assert not lab.host.domains


async def test_a_cancelled_restart_keeps_the_disk(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(ALICE, machine.id)).id, 10)
    guest = lab.guest(machine.uuid)
    guest.silent = True
    operation = await lab.engine.machines.start(ALICE, machine.id, Session())
    await eventually(lambda: guest.stream is not None)
    await lab.engine.operations.cancel(ALICE, operation.id)
    await lab.until(machine.id, Status.STOPPED)
    assert "disk" in prefixes(lab)


async def test_a_machine_is_deleted_while_it_starts(lab):
    lab.template = {"silent": True}
    machine = await lab.create()
    await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests)
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 5)).status == OperationStatus.SUCCEEDED
    assert not lab.host.domains
    assert prefixes(lab) <= {"base", "home"}


async def test_a_delete_that_fails_is_tried_until_it_is_done(lab):
    machine = await lab.started()
    lab.hypervisor.fail_next("undefine", times=3)
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert not lab.host.domains


async def test_a_home_is_never_given_to_two_machines(lab):
    machine = await lab.started()
    with pytest.raises(Conflict, match="in use by the machine"):
        await lab.create(server_name="", notebook=False)
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(ALICE, machine.id)).id, 10)
    other = await lab.create(server_name="", notebook=False)
    assert other.home == machine.home
    await lab.engine.operations.wait((await lab.engine.machines.start(ALICE, other.id, None)).id, 10)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.FAILED
    assert other.id in done.error.detail
