"""A database that cannot be used: one clear answer, nothing half done, and on it goes afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.fixtures.postgres import PostgreSQL
from tests.unit.store.samples import ALICE, HUB, machine

from cernvmapi.errors import StoreUnavailable
from cernvmcontroller.store import Store, machines
from cernvmcontroller.store import database as databases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "controller.sqlite"


@pytest.fixture
async def sqlite(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(databases, "_BUSY_MS", 50)
    store = await Store.open(f"sqlite:///{path}", HUB)
    yield store
    await store.close()


async def create(store: Store, id_: str) -> None:
    async with store.write(ALICE, "machine.create", f"machine/{id_}") as tx:
        await machines.add(tx, machine(id_))


async def known(store: Store) -> list[str]:
    async with store.read() as session:
        return list(await machines.all_ids(session))


async def test_a_database_that_another_program_locks_is_named_and_works_again(
    sqlite: Store, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="is locked by another program"):
        await create(sqlite, "m-1")
    assert "is locked" in sqlite.problem
    assert await known(sqlite) == []
    assert "is locked" in sqlite.problem, "reading works, and says nothing about writing"
    other.execute("ROLLBACK")
    other.close()
    assert await sqlite.check() == ""
    assert sqlite.problem == ""
    await create(sqlite, "m-1")
    assert await known(sqlite) == ["m-1"]


async def test_a_full_disk_leaves_nothing_half_done_and_is_over_when_there_is_room(sqlite: Store) -> None:
    pages = 0

    async def limit(more: int) -> None:
        nonlocal pages
        async with sqlite.read() as session:
            pages = await session.scalar(text("PRAGMA page_count")) or 0
            await session.execute(text(f"PRAGMA max_page_count = {pages + more}"))

    await limit(2)
    events = sqlite.events.last_id()
    made = 0
    with pytest.raises(StoreUnavailable, match="its disk is full"):  # noqa: PT012
        for made in range(200):
            await create(sqlite, f"m-{made}")
    assert len(await known(sqlite)) == made, "the machine that did not fit is not there at all"
    assert sqlite.events.last_id() == events + made
    assert "full" in sqlite.problem
    await limit(1000)
    await create(sqlite, "m-after")
    assert sqlite.problem == ""


async def test_a_database_that_can_only_be_read_is_named(sqlite: Store) -> None:
    async with sqlite.read() as session:
        await session.execute(text("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable, match="can only be read"):
        await create(sqlite, "m-1")


@pytest.fixture
def damaged(path: Path) -> Path:
    path.write_bytes(b"no database " * 1000)
    return path


async def test_a_damaged_database_says_how_it_is_replaced(damaged: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"is damaged\. Stop the controller, move .* found again"):
        await Store.open(f"sqlite:///{damaged}", HUB)


async def test_a_write_does_not_wait_for_ever_for_the_ones_before_it(
    sqlite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cernvmcontroller.store.store.LONGEST_LINE", 0.05)
    async with sqlite.write(ALICE, "slow", "x"):
        waiting = asyncio.create_task(create(sqlite, "m-1"))
        with pytest.raises(StoreUnavailable, match="is too slow"):
            await waiting
    await create(sqlite, "m-1")


async def test_what_the_program_did_wrong_is_no_outage(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        async with store.write(ALICE, "x", "x"):
            raise FileNotFoundError
    assert store.problem == ""


async def test_a_cut_connection_is_one_refusal_and_then_forgotten(
    postgresql: PostgreSQL,
) -> None:
    store = await Store.open(postgresql.create_database(), HUB)
    with pytest.raises(StoreUnavailable, match="does not answer"):  # noqa: PT012
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))
            own = await tx.session.scalar(text("SELECT pg_backend_pid()"))
            async with store.read() as session:
                await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
            await machines.add(tx, machine("m-2"))
    assert await known(store) == []
    await create(store, "m-1")
    assert store.problem == ""
    await store.close()


async def test_a_server_that_is_restarted_is_waited_for() -> None:
    with tempfile.TemporaryDirectory(prefix="cernvm-pg-") as folder:
        server = PostgreSQL(Path(folder))
        server.start()
        try:
            store = await Store.open(server.create_database(), HUB)
            await create(store, "m-1")
            await asyncio.to_thread(server.go_away)
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await known(store)
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await create(store, "m-2")
            assert "does not answer" in store.problem
            await asyncio.to_thread(server.serve)
            assert await store.check() == ""
            await create(store, "m-2")
            assert await known(store) == ["m-1", "m-2"]
            await store.close()
        finally:
            server.stop()
