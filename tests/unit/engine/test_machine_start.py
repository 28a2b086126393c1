"""A user gets a machine of their own."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from scripted import ALICE, BOB, SESSION, eventually

from cernvmapi.errors import Conflict, HypervisorFailed, Invalid, NoRoom, NotFound, TooLarge
from cernvmapi.models import MachineCreate, OperationStatus, Phase, Power, Session, Status
from cernvmcontroller import naming
from cernvmcontroller.guests import agentwire
from cernvmcontroller.store import Store


async def test_a_machine_starts_and_is_ready(lab):
    machine = await lab.create()
    assert machine.status == Status.PENDING
    assert machine.host == "host1"
    assert machine.address == "10.80.0.16"
    assert machine.actions == ["start", "move", "lock", "delete"]

    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.SUCCEEDED

    machine = await lab.engine.machines.get(machine.id)
    assert (machine.status, machine.power, machine.phase) == (Status.RUNNING, Power.ON, Phase.READY)
    assert [mark.phase for mark in machine.timeline] == list(Phase)
    assert machine.progress == 100
    assert machine.actions == [
        "shutdown", "poweroff", "reboot", "reset", "suspend", "store",
        "snapshot", "revert", "forget-snapshot", "move", "xml", "lock", "delete",
    ]  # fmt: skip
    assert lab.host.domains[machine.uuid].power == Power.ON
    kinds = {name.partition("-")[0] for name in lab.volumes()}
    assert kinds == {"base", "disk", "seed", "home"}


async def test_secrets_travel_over_the_agents_channel_only(lab):
    machine = await lab.started()
    session = next(message for message in lab.guest(machine.uuid).heard if message["type"] == "session")
    assert session["env"] == SESSION.env
    assert session["home"] == {"serial": "home", "mount": "/home/cernvm"}
    assert "very-secret-token" not in lab.host.domains[machine.uuid].xml
    await lab.end()
    everything = b"".join(path.read_bytes() for path in lab.folder.rglob("*") if path.is_file())
    assert b"very-secret-token" not in everything
    for pool in lab.host.pools.values():
        assert all(b"very-secret-token" not in volume.data for volume in pool.volumes.values())


@pytest.mark.parametrize("off", [-86400, 86400], ids=["behind", "ahead"])
async def test_a_guest_whose_clock_is_a_day_off_is_told_the_time_before_its_session(lab, off):
    lab.template = {"clock_off": off}
    machine = await lab.started()
    guest = lab.guest(machine.uuid)
    assert abs(guest.clock_off) < 5
    heard = [message["type"] for message in guest.heard]
    assert heard.index("welcome") < heard.index("session")


async def test_pressing_start_twenty_times_makes_one_machine(lab):
    made = await asyncio.gather(*(lab.create() for _ in range(20)))
    assert len({machine.id for machine in made}) == 1
    operations = await asyncio.gather(
        *(lab.engine.machines.start(ALICE, made[0].id, SESSION) for _ in range(20))
    )
    assert len({operation.id for operation in operations}) == 1
    await lab.until(made[0].id, Status.RUNNING)
    assert len(lab.host.domains) == 1
    assert lab.hypervisor.calls.count("start") == 1


async def test_two_users_get_two_machines_and_two_homes(lab):
    one, other = await asyncio.gather(lab.started(ALICE), lab.started(BOB))
    assert one.address != other.address
    assert one.home != other.home
    assert lab.guest(one.uuid).session != lab.guest(other.uuid).session
    # The base was brought once.
    assert len([name for name in lab.volumes() if name.startswith("base-")]) == 1


async def test_many_at_once_wait_for_one_upload(lab):
    machines = await asyncio.gather(*(lab.started(server_name=f"s{n}") for n in range(12)))
    assert len({machine.address for machine in machines}) == 12


async def test_another_appliance_or_flavor_needs_a_new_machine(lab):
    await lab.create()
    with pytest.raises(Conflict, match="Delete it first"):
        await lab.create(flavor="large")


async def test_what_cannot_be_is_refused_before_anything_is_reserved(lab):
    for fields, error in (
        ({"appliance": "pear"}, NotFound),
        ({"flavor": "huge"}, NotFound),
        ({"memory_mib": 64}, Invalid),
        ({"server_name": None}, Invalid),
        ({"start": True}, Invalid),
    ):
        with pytest.raises(error):
            await lab.create(**fields)
    assert (await lab.engine.machines.page()).total == 0


async def test_no_host_with_room_says_which_rule_excluded_it(lab):
    with pytest.raises(NoRoom, match=r"host1 has .* MiB of memory left") as refused:
        await lab.create(memory_mib=1_000_000)
    assert refused.value.errors[0]["filter"] == "memory"


async def test_machines_spread_over_hosts(two_hosts):
    one, other = await two_hosts.started(ALICE), await two_hosts.started(BOB)
    assert {one.host, other.host} == {"host1", "host2"}


async def test_a_machine_goes_where_its_home_is(two_hosts):
    machine = await two_hosts.started(ALICE, host="host2")
    await two_hosts.engine.operations.wait((await two_hosts.engine.machines.delete(ALICE, machine.id)).id, 10)
    again = await two_hosts.started(ALICE)
    assert (again.host, again.home) == (machine.host, machine.home)


async def test_a_machine_without_a_notebook_needs_no_session(lab):
    machine, new = await lab.engine.machines.create(ALICE, MachineCreate(start=True), "alice")
    assert new
    machine = await lab.until(machine.id, Status.RUNNING)
    assert machine.home is None
    with pytest.raises(Invalid, match="no notebook"):
        await lab.engine.machines.put_session(ALICE, machine.id, SESSION)


async def test_a_machine_asks_for_its_session(lab):
    machine = await lab.create()
    await lab.engine.machines.start(ALICE, machine.id, None)
    await lab.until_true(machine.id, lambda found: found.awaiting_session)
    await lab.engine.machines.put_session(ALICE, machine.id, SESSION)
    machine = await lab.until(machine.id, Status.RUNNING)
    assert not machine.awaiting_session


async def test_another_session_reaches_a_running_machine(lab):
    machine = await lab.started()
    before = lab.guest(machine.uuid).session
    operation = await lab.engine.machines.start(ALICE, machine.id, Session(env={"A": "b"}))
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert lab.guest(machine.uuid).session != before
    assert lab.hypervisor.calls.count("start") == 1


async def test_starting_what_runs_is_done_at_once(lab):
    machine = await lab.started()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    assert operation.status == OperationStatus.SUCCEEDED


async def test_shut_down_and_start_again_with_the_same_disk_and_home(lab):
    machine = await lab.started()
    volumes = lab.volumes()
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    stopped = await lab.engine.machines.get(machine.id)
    assert (stopped.status, stopped.power) == (Status.STOPPED, Power.OFF)
    assert "stop" in [message["type"] for message in lab.guest(machine.uuid).heard]
    assert lab.volumes() == volumes
    again = await lab.started()
    assert (again.id, again.address, again.home) == (machine.id, machine.address, machine.home)


async def test_a_guest_that_does_not_obey_is_powered_off(lab):
    machine = await lab.started()
    lab.host.domains[machine.uuid].obeys = False
    operation = await lab.engine.machines.shutdown(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert lab.host.domains[machine.uuid].reason == "destroyed"


async def test_poweroff_does_not_wait_for_a_shutdown(lab):
    machine = await lab.started()
    lab.host.domains[machine.uuid].obeys = False
    first = await lab.engine.machines.shutdown(ALICE, machine.id)
    await eventually(lambda: "shutdown" in lab.hypervisor.calls)
    second = await lab.engine.machines.poweroff(ALICE, machine.id)
    async with asyncio.timeout(1.5):
        assert (await lab.engine.operations.wait(second.id, 5)).status == OperationStatus.SUCCEEDED
    assert (await lab.engine.operations.get(first.id)).status == OperationStatus.SUCCEEDED


async def test_reboot_comes_back_with_its_session(lab):
    machine = await lab.started()
    lab.guest(machine.uuid).boot += 1
    lab.guest(machine.uuid).session, lab.guest(machine.uuid).state = None, "waiting"
    operation = await lab.engine.machines.reboot(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert (await lab.engine.machines.get(machine.id)).status == Status.RUNNING
    assert lab.hypervisor.calls.count("start") == 2


async def test_delete_leaves_nothing_but_the_home(lab):
    machine = await lab.started()
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert not lab.host.domains
    assert {name.partition("-")[0] for name in lab.volumes()} == {"base", "home"}
    with pytest.raises(NotFound):
        await lab.engine.machines.get(machine.id)
    assert (await lab.engine.inventory.networks())[0].used == 0
    assert (await lab.engine.inventory.hosts())[0].memory_promised_mib == 0
    homes = await lab.engine.volumes.page(owner="alice")
    assert [volume.kind for volume in homes.items] == ["home"]
    await lab.engine.volumes.delete(ALICE, homes.items[0].id)
    assert {name.partition("-")[0] for name in lab.volumes()} == {"base"}


async def test_a_home_that_a_machine_has_is_not_deleted(lab):
    machine = await lab.started()
    with pytest.raises(Conflict, match="delete that one first"):
        await lab.engine.volumes.delete(ALICE, machine.home)


async def test_a_home_that_is_being_deleted_is_given_to_no_machine(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    lab.hypervisor.deadline = 30
    lab.hypervisor.hang("delete_volume")
    before = lab.hypervisor.calls.count("delete_volume")
    deletion = asyncio.create_task(lab.engine.volumes.delete(ALICE, machine.home))
    await eventually(lambda: lab.hypervisor.calls.count("delete_volume") > before)
    with pytest.raises(Conflict, match="is being deleted; try again"):
        await lab.create()
    with pytest.raises(Conflict, match="is being deleted already"):
        await lab.engine.volumes.delete(ALICE, machine.home)
    lab.hypervisor.release("delete_volume")
    await deletion
    assert (await lab.create()).home != machine.home


async def test_the_deletion_of_a_home_that_failed_is_repeated_or_forgotten(lab):
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    lab.hypervisor.fail_next("delete_volume")
    with pytest.raises(HypervisorFailed):
        await lab.engine.volumes.delete(ALICE, machine.home)
    assert (await lab.engine.volumes.get(machine.home)).id == machine.home
    await lab.engine.volumes.delete(ALICE, machine.home)
    assert {name.partition("-")[0] for name in lab.volumes()} == {"base"}


async def test_every_change_is_told_and_every_verb_recorded(lab):
    news = lab.engine.events.subscribe(types={"machine.changed", "machine.deleted"})
    machine = await lab.started()
    await lab.engine.operations.wait((await lab.engine.machines.delete(ALICE, machine.id)).id, 10)
    seen = []
    async with asyncio.timeout(5):
        async for event in news:
            seen.append(event)
            if event.type == "machine.deleted":
                break
    revisions = [event.data["revision"] for event in seen]
    assert revisions == sorted(revisions)
    assert {event.owner for event in seen} == {"alice"}
    audit = await lab.engine.audit.page(subject=f"machine/{machine.id}")
    assert [record.action for record in reversed(audit.items)] == [
        "machine.create",
        "machine.start",
        "machine.delete",
    ]
    assert {record.details["owner"] for record in audit.items} == {"alice"}


async def test_the_console_is_kept(lab):
    machine = await lab.create()
    lab.host.consoles[machine.uuid] = b"\x1b[2JBooting \x1b[31mred\x1b[0m\r\nlogin: "
    await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await lab.until(machine.id, Status.RUNNING)

    async def there() -> bool:
        return (await lab.engine.machines.console(machine.id)).text == "Booting red\nlogin: "

    await eventually(there)


async def test_a_session_that_no_agent_takes_is_refused_before_anything_is_done(lab):
    machine = await lab.create()
    large = Session(env={"LARGE": "x" * agentwire.MAX_LINE})
    with pytest.raises(TooLarge, match="smaller environment"):
        await lab.engine.machines.start(ALICE, machine.id, large)
    assert (await lab.engine.machines.get(machine.id)).status == Status.PENDING


def test_a_session_that_is_taken_fits_into_one_line():
    room = agentwire.MAX_LINE - agentwire.ENVELOPE - len(msgspec.json.encode(Session(env={"LARGE": ""})))
    session = Session(env={"LARGE": "x" * room})
    assert agentwire.fits(session)
    assert not agentwire.fits(Session(env={"LARGE": "x" * (room + 1)}))
    line = agentwire.encode(
        "session",
        id=2**53,
        session=naming.new_id("s"),
        port=session.port,
        command=session.command,
        env=session.env,
        files=session.files,
        home={"serial": "home", "mount": "/home/cernvm"},
        wait_for_context=False,
    )
    assert len(line) <= agentwire.MAX_LINE


async def test_looking_at_a_machine_that_is_well_writes_nothing(lab, monkeypatch):
    machine = await lab.started()
    await lab.engine.reconciler.quiet()
    written = []
    write = Store.write

    def counted(store, actor, action, *args, **options):
        written.append(action)
        return write(store, actor, action, *args, **options)

    monkeypatch.setattr(Store, "write", counted)
    looked = lab.hypervisor.calls.count("domain")
    lab.engine.reconciler.poke(machine.id)
    await lab.engine.reconciler.quiet()
    assert lab.hypervisor.calls.count("domain") > looked
    assert written == []
