"""Many at the same moment: each gets a machine or one clear refusal; none twice, no host oversold."""

from __future__ import annotations

import asyncio

import pytest
from scripted import SESSION, Lab
from tests.fixtures.postgres import postgresql
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import HUB_TOKEN, FakeHub

from cernvmapi import AsyncClient
from cernvmapi.errors import NoRoom
from cernvmapi.models import API_PREFIX, Status
from cernvmcontroller.store import Actor, inventory
from cernvmcontroller.web.server import Listeners

__all__ = ["postgresql"]


@pytest.fixture(params=["sqlite", "postgresql"])
async def crowd(request, tmp_path):
    """A controller that is served, on each kind of database, and a client of it."""
    lab = Lab(tmp_path)
    if request.param == "postgresql":
        lab.url = request.getfixturevalue("postgresql").create_database()
    engine = await lab.begin()
    hub = FakeHub()
    hub.start()
    listeners = Listeners(services_for(engine, hub))
    port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
    async with AsyncClient(f"http://127.0.0.1:{port}{API_PREFIX}", HUB_TOKEN) as client:
        yield lab, client
    await listeners.close()
    await hub.stop()
    await lab.end()


async def press(client, user):
    """Do what the spawner does for a user; return the machine, or why there is none."""
    try:
        machine = await client.machines.create(
            owner=user, server_name="", notebook=True, home=True, vcpus=1, memory_mib=512
        )
        operation = await client.machines.start(machine.id, SESSION)
        await client.operations.wait(operation.id, 60)
        return await client.machines.get(machine.id)
    except NoRoom as refused:
        return refused


async def room(engine):
    """Return how many machines of the crowd fit on the host, and how many are promised."""
    async with engine.store.read() as session:
        host = await inventory.host(session, "host1")
        promised = (await inventory.promised(session))["host1"]
    assert promised.memory_mib == 512 * promised.vcpus
    return min((host.memory_mib - 1024) // 512, host.cpus * 4), promised.vcpus


async def test_fifty_users_in_the_same_second_get_a_machine_or_one_refusal(crowd):
    lab, client = crowd
    users = [f"user{number}" for number in range(50)]
    answers = await asyncio.gather(*(press(client, user) for user in users))
    running = [answer for answer in answers if not isinstance(answer, NoRoom)]
    assert running
    assert {machine.status for machine in running} == {Status.RUNNING}
    assert len({machine.owner for machine in running}) == len(running)
    assert len({machine.address for machine in running}) == len(running)
    assert len({machine.home for machine in running}) == len(running)
    fit, promised = await room(lab.engine)
    assert fit < len(users), "or nobody would be refused"
    assert len(running) == promised == fit
    assert len(lab.host.domains) == len(running)


async def test_one_user_who_presses_twenty_times_gets_one_machine(crowd):
    lab, client = crowd
    answers = await asyncio.gather(*(press(client, "eager") for _ in range(20)))
    assert {answer.id for answer in answers} == {answers[0].id}
    assert {answer.status for answer in answers} == {Status.RUNNING}
    assert len(lab.host.domains) == 1
    assert (await client.volumes.list(owner="eager", kind="home")).total == 1


@pytest.fixture(params=["sqlite", "postgresql"])
async def three(request, tmp_path):
    """A controller of three hosts, on each kind of database."""
    lab = Lab(tmp_path, hosts=3)
    if request.param == "postgresql":
        lab.url = request.getfixturevalue("postgresql").create_database()
    await lab.begin()
    yield lab
    await lab.end()


async def test_two_hundred_at_once_never_oversell_a_host(three):
    async def ask(number):
        try:
            return await three.create(Actor(f"user{number}"), vcpus=1, memory_mib=1024)
        except NoRoom as refused:
            return refused

    answers = await asyncio.gather(*(ask(number) for number in range(200)))
    placed = [answer for answer in answers if not isinstance(answer, NoRoom)]
    hosts = await three.engine.inventory.hosts()
    room = [min((host.memory_mib - 1024) // 1024, host.cpus * 4) for host in hosts]
    assert len(placed) == sum(room) < 200, "or nobody would be refused"
    assert [host.machines for host in hosts] == room
    assert [host.memory_promised_mib for host in hosts] == [1024 * number for number in room]
    refused = next(answer for answer in answers if isinstance(answer, NoRoom))
    assert {entry["filter"] for entry in refused.errors} <= {"memory", "processors"}
    assert {entry["host"] for entry in refused.errors} == {"host1", "host2", "host3"}
