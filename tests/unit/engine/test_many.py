"""What must not grow with the number of hosts and machines."""

from __future__ import annotations

import asyncio

from scripted import Lab
from sqlalchemy import event

from cernvmcontroller import engine


async def queries_of_a_placement(lab: Lab) -> int:
    """Return how often the database is asked for the hosts as placement sees them."""
    assert lab.engine is not None
    assert lab.store is not None
    asked = []
    target = lab.store._database._engine.sync_engine

    def note(_connection, _cursor, statement, *_):
        asked.append(statement)

    event.listen(target, "before_cursor_execute", note)
    try:
        async with lab.store.read() as session:
            found = await lab.engine.inventory.candidates(session, 0)
    finally:
        event.remove(target, "before_cursor_execute", note)
    assert len(found) == len(lab.hosts)
    return len(asked)


async def test_a_placement_asks_the_database_as_often_for_many_hosts_as_for_one(lab, tmp_path):
    (tmp_path / "many").mkdir()
    many = Lab(tmp_path / "many", hosts=12)
    await many.begin()
    try:
        assert await queries_of_a_placement(many) == await queries_of_a_placement(lab)
    finally:
        await many.end()


async def test_placement_sees_the_bases_that_are_on_a_host(lab):
    machine = await lab.started()
    async with lab.store.read() as session:
        (candidate,) = await lab.engine.inventory.candidates(session, 0)
    manifest = lab.engine.repository.choose(machine.appliance)
    assert candidate.bases == {manifest.appliance.sha256}
    assert candidate.addresses_free == 99


async def test_machines_are_looked_at_a_few_at_a_time_and_none_is_forgotten(lab, monkeypatch):
    monkeypatch.setattr(engine, "_AT_ONCE", 2)
    poked: list[str] = []
    monkeypatch.setattr(lab.engine.reconciler, "poke", poked.append)
    looking = asyncio.create_task(lab.engine._look_at(["m-1", "m-2", "m-3", "m-4", "m-5"]))
    await asyncio.sleep(0)
    assert poked == ["m-1", "m-2"]
    await looking
    assert poked == ["m-1", "m-2", "m-3", "m-4", "m-5"]
