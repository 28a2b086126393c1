"""A new database, lost or first: nothing is said of machines before every host told which it has."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from scripted import ALICE, BOB, eventually

from cernvmapi.errors import Busy
from cernvmapi.models import Power, Status


def silent(*names):
    """Return what keeps hosts from answering when a controller starts."""

    def prepare(name, hypervisor):
        hypervisor.reachable = name not in names

    return prepare


async def known(engine):
    await eventually(lambda: not engine.census.missing)
    await engine.machines_known()


async def lose(lab, *unreachable):
    """Start a controller without its database while some hosts do not answer."""
    await lab.end()
    lab.lose_database()
    lab.prepare = silent(*unreachable)
    return await lab.begin()


async def part(engine, name):
    health = await engine.health()
    (found,) = [each for each in health.components if each.name == name]
    return health.status, found


async def test_machines_are_not_listed_before_every_host_told_of_its_own(two_hosts):
    lab = two_hosts
    here, there = await lab.started(ALICE, host="host1"), await lab.started(BOB, host="host2")
    engine = await lose(lab, "host2")
    with pytest.raises(Busy, match=r"machines of host2 are not known\. Start what does not answer, or take"):
        await engine.machines_known()
    status, machines = await part(engine, "machines")
    assert (status, machines.status) == ("degraded", "degraded")
    assert "host2" in machines.detail
    assert [(host.id, host.alive) for host in await engine.inventory.hosts()] == [
        ("host1", True),
        ("host2", False),
    ]

    lab.hypervisors["host2"].reconnect()
    await known(engine)
    page = await engine.machines.page()
    assert {(machine.id, machine.owner, machine.status) for machine in page.items} == {
        (here.id, "alice", Status.RUNNING),
        (there.id, "bob", Status.RUNNING),
    }
    assert (await part(engine, "machines"))[1].status == "ok"


async def test_a_first_start_waits_for_the_hosts_and_goes_on(lab):
    await lab.end()
    lab.lose_database()

    def slow(_name, hypervisor):
        hypervisor.deadline = 30
        hypervisor.hang("capabilities")

    before = lab.hypervisor
    lab.prepare = slow
    beginning = asyncio.create_task(lab.begin())
    await eventually(lambda: lab.hypervisor is not before and "capabilities" in lab.hypervisor.calls)
    asking = asyncio.create_task(lab.engine.machines_known())
    await asyncio.sleep(0)
    assert not asking.done()
    lab.hypervisor.release("capabilities")
    await asking
    await beginning
    assert await lab.create()


async def test_once_all_machines_are_known_a_silent_host_makes_its_own_unknown_only(two_hosts):
    lab = two_hosts
    await lab.started(ALICE, host="host1")
    there = await lab.started(BOB, host="host2")
    await lab.end()
    lab.prepare = silent("host1", "host2")
    engine = await lab.begin()
    await engine.machines_known()
    assert (await engine.machines.page()).total == 2
    await lab.until_true(there.id, lambda machine: machine.power == Power.UNKNOWN)


async def test_hosts_may_tell_one_after_the_other_to_different_controllers(two_hosts):
    lab = two_hosts
    await lab.started(ALICE, host="host1")
    await lab.started(BOB, host="host2")
    engine = await lose(lab, "host2")
    with pytest.raises(Busy):
        await engine.machines_known()
    lab.prepare = silent("host1")
    engine = await lab.restart()
    await known(engine)
    assert (await engine.machines.page()).total == 2


async def test_a_host_that_will_not_come_back_is_taken_out_of_the_configuration(two_hosts):
    lab = two_hosts
    here = await lab.started(ALICE, host="host1")
    await lab.started(BOB, host="host2")
    await lose(lab, "host1", "host2")
    gone = lab.hosts.pop("host2")
    lab.prepare = None
    engine = await lab.restart()
    await known(engine)
    assert [machine.id for machine in (await engine.machines.page()).items] == [here.id]
    # Put back, it keeps nobody waiting, and what is on it is found when it answers.
    lab.hosts["host2"] = gone
    lab.prepare = silent("host2")
    engine = await lab.restart()
    await engine.machines_known()
    changes = engine.events.subscribe(types={"machine.changed"})
    lab.hypervisors["host2"].reconnect()
    async with asyncio.timeout(10):
        while (await engine.machines.page()).total < 2:
            await anext(changes)


@pytest.mark.parametrize("verb", ["volumes", "read_volume", "domains", "domain_xml"])
async def test_a_host_that_could_not_tell_of_everything_is_asked_again(lab, verb):
    machine = await lab.started()
    lab.settings = replace(lab.settings, poll_interval=0.05)
    await lab.end()
    lab.lose_database()
    lab.prepare = lambda _name, hypervisor: hypervisor.fail_next(verb)
    engine = await lab.begin()
    await known(engine)
    found = await engine.machines.get(machine.id)
    assert (found.status, found.home) == (Status.RUNNING, machine.home)
    assert (await engine.volumes.get(machine.home)).machine == machine.id


async def test_who_knew_events_of_the_lost_database_lists_again(lab):
    machine = await lab.started()
    last = lab.engine.events.last_id()
    engine = await lose(lab)
    await known(engine)
    event = await anext(engine.events.subscribe(last, {"machine.changed"}))
    assert event.type == "reset"
    assert event.id > last
    assert (await engine.machines.page()).items[0].id == machine.id
