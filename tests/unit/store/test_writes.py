"""Writes: whole or not at all, one after the other, audited, told."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from tests.unit.store.samples import ALICE, HUB, machine

from cernvmapi.errors import StoreUnavailable
from cernvmcontroller.store import Actor, Store, audit, machines
from cernvmcontroller.store.audit import AuditQuery
from cernvmcontroller.store.tables import EventRow, MetaRow

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.models import Event


async def test_a_write_says_who_did_what_to_which_object_from_where(store: Store) -> None:
    async with store.write(ALICE, "machine.create", "machine/m-1", details={"flavor": "small"}) as tx:
        await machines.add(tx, machine("m-1"))
    async with store.write(Actor.system(), "machine.step", "machine/m-1", audit=False) as tx:
        await machines.changed(tx, await machines.get(tx.session, "m-1"))
    async with store.write(ALICE, "machine.delete", "machine/m-1", outcome="refused"):
        pass
    async with store.read() as session:
        found = await audit.page(session, AuditQuery(subject="machine/m-1"))
        records = [audit.to_model(row) for row in found.rows]
        assert [(one.actor, one.action, one.outcome) for one in records] == [
            ("alice", "machine.delete", "refused"),
            ("alice", "machine.create", "accepted"),
        ]
        assert (records[1].address, records[1].request_id) == ("192.0.2.1", "r-1")
        assert records[1].details == {"flavor": "small"}
        assert not (await audit.page(session, AuditQuery(actor="bob"))).rows
        assert (await audit.page(session, AuditQuery(action="machine.create"))).total == 1


async def test_a_failed_write_leaves_neither_rows_nor_audit_nor_events(store: Store) -> None:
    events = store.events.subscribe()
    with pytest.raises(RuntimeError, match="no"):  # noqa: PT012
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))
            raise RuntimeError("no")
    async with store.write(ALICE, "machine.create", "machine/m-2") as tx:
        await machines.add(tx, machine("m-2"))
    assert (await anext(events)).subject == "machine/m-2"
    async with store.read() as session:
        assert await machines.all_ids(session) == ["m-2"]
        assert (await audit.page(session, AuditQuery())).total == 1
        assert await session.scalar(select(func.count()).select_from(EventRow)) == 1


async def test_writes_wait_for_each_other_and_lose_nothing(store: Store) -> None:
    async with store.write(ALICE, "begin", "counter", audit=False) as tx:
        tx.session.add(MetaRow(key="counter", value="0"))

    async def count() -> None:
        async with store.write(ALICE, "count", "counter", audit=False) as tx:
            row = await tx.session.get_one(MetaRow, "counter")
            await asyncio.sleep(0)
            row.value = str(int(row.value) + 1)
            tx.emit("counter.changed", "counter", None, {"value": row.value})

    events = store.events.subscribe()
    await asyncio.gather(*(count() for _ in range(50)))
    told = [await anext(events) for _ in range(50)]
    assert [event.data["value"] for event in told] == [str(n) for n in range(1, 51)]
    assert sorted(event.id for event in told) == [event.id for event in told]


async def test_two_programs_on_one_database_do_not_write_over_each_other(
    store: Store, database_url: str
) -> None:
    async with store.write(ALICE, "begin", "counter", audit=False) as tx:
        tx.session.add(MetaRow(key="counter", value="0"))
    other = await Store.open(database_url, HUB)

    async def count(which: Store) -> None:
        async with which.write(ALICE, "count", "counter", audit=False) as tx:
            row = await tx.session.get_one(MetaRow, "counter")
            row.value = str(int(row.value) + 1)

    await asyncio.gather(*(count(which) for which in (store, other) * 10))
    async with other.read() as session:
        assert (await session.get_one(MetaRow, "counter")).value == "20"
    await other.close()


async def test_a_write_inside_a_write_is_an_error_and_no_deadlock(store: Store) -> None:
    with pytest.raises(RuntimeError, match="a write inside a write"):
        async with store.write(ALICE, "outer", "x"), store.write(ALICE, "inner", "x"):
            pass
    async with store.write(ALICE, "later", "x"):
        pass


async def test_a_row_of_an_earlier_transaction_is_refused_instead_of_lost(store: Store) -> None:
    async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
        await machines.add(tx, machine("m-1"))
    async with store.read() as session:
        row = await machines.get(session, "m-1")
    with pytest.raises(RuntimeError, match="look it up again"):
        async with store.write(ALICE, "machine.change", "machine/m-1") as tx:
            await machines.changed(tx, row)


async def test_a_reader_sees_one_moment(store: Store) -> None:
    before = store.events.last_id()
    async with store.read() as session:
        assert await machines.all_ids(session) == []
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))
        assert await machines.all_ids(session) == []
        page = await machines.page(session, machines.MachineQuery())
        assert (page.total, page.event_id) == (0, before)
    async with store.read() as session:
        assert await machines.all_ids(session) == ["m-1"]


async def test_a_request_cancelled_while_it_commits_is_committed_and_told(store: Store) -> None:
    events = store.events.subscribe()
    inside = asyncio.Event()
    commit = store._commit

    async def slow(tx: object) -> None:
        inside.set()
        await asyncio.sleep(0)
        await commit(tx)  # type: ignore[arg-type]

    store._commit = slow  # type: ignore[method-assign]

    async def create() -> None:
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))

    task = asyncio.create_task(create())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await anext(events)).subject == "machine/m-1"
    async with store.read() as session:
        assert await machines.all_ids(session) == ["m-1"]


async def test_a_request_cancelled_before_it_commits_leaves_nothing_and_lets_others_write(
    store: Store,
) -> None:
    inside = asyncio.Event()

    async def create() -> None:
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(create())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.write(ALICE, "machine.create", "machine/m-2") as tx:
        await machines.add(tx, machine("m-2"))
    async with store.read() as session:
        assert await machines.all_ids(session) == ["m-2"]


async def test_a_write_that_is_broken_off_locks_nobody_out_whoever_still_holds_its_cursor(
    tmp_path: Path,
) -> None:
    path = tmp_path / "controller.sqlite"
    store = await Store.open(f"sqlite+aiosqlite:///{path}", HUB)

    held = []

    async def broken_off() -> None:
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            connection = await tx.session.connection()
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            # As the traceback of a cancelled query holds it: a result that is not read to its end.
            held.append(await driver.execute("SELECT 1 UNION SELECT 2"))
            await connection.invalidate()
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await broken_off()
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    held.clear()
    await store.close()


async def test_subscribers_learn_of_a_commit_whose_answer_was_lost(store: Store) -> None:
    events = store.events.subscribe()

    async def first() -> Event:
        return await anext(events)

    waiting = asyncio.create_task(first())
    with pytest.raises(StoreUnavailable):  # noqa: PT012
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))
            commit = tx.session.commit

            async def loses_the_answer() -> None:
                await commit()
                raise ConnectionError

            tx.session.commit = loses_the_answer  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        assert (await waiting).subject == "machine/m-1"


async def test_what_the_database_refuses_is_not_told(store: Store) -> None:
    async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
        await machines.add(tx, machine("m-1"))
    last = store.events.last_id()
    with pytest.raises(IntegrityError):  # noqa: PT012
        async with store.write(ALICE, "machine.create", "machine/m-2") as tx:
            tx.emit("machine.changed", "machine/m-2", None, {})
            tx.session.add(machine("m-2", host="nowhere"))
    assert store.events.last_id() == last


async def test_closing_waits_for_the_write_in_progress(store: Store, database_url: str) -> None:
    begun = asyncio.Event()

    async def create() -> None:
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            begun.set()
            await machines.add(tx, machine("m-1"))

    task = asyncio.create_task(create())
    await begun.wait()
    await store.close()
    assert task.done()
