"""Several controllers on one PostgreSQL: one is active, the others wait; who lost its turn writes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.unit.store.samples import ALICE, HUB, machine

from cernvmapi.errors import StoreUnavailable
from cernvmcontroller.store import Store, lead, machines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.postgres import PostgreSQL


async def waits(store: Store) -> bool:
    async with store.read() as session:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(await session.scalar(text(waiting)))


async def test_a_standby_takes_over_when_the_active_one_is_cut_off(postgresql: PostgreSQL) -> None:
    url = postgresql.create_database()
    async with lead(url) as first:
        store = await Store.open(url, HUB, first)
        async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
            await machines.add(tx, machine("m-1"))

        async def second() -> list[str]:
            async with lead(url) as own:
                other = await Store.open(url, HUB, own)
                async with other.write(ALICE, "machine.create", "machine/m-2") as tx:
                    await machines.add(tx, machine("m-2"))
                async with other.read() as session:
                    found = list(await machines.all_ids(session))
                await other.close()
                return found

        standby = asyncio.create_task(second())
        async with asyncio.timeout(20):
            while not await waits(store):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
        assert not standby.done()
        async with store.read() as session:
            await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first.pid})
        async with asyncio.timeout(20):
            assert await standby == ["m-1", "m-2"]
        # It need not have noticed: the database does.
        with pytest.raises(StoreUnavailable, match="another one may have taken over"):
            async with store.write(ALICE, "machine.create", "machine/m-3") as tx:
                await machines.add(tx, machine("m-3"))
        assert "ends itself, machines run on" in first.lost.result()
        await store.close()


async def test_the_active_one_notices_by_itself_that_it_is_cut_off(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cernvmcontroller.store.leadership._BEAT", 0.1)
    url = postgresql.create_database()
    store = await Store.open(url, HUB)
    async with lead(url) as first:
        async with store.read() as session:
            await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first.pid})
        async with asyncio.timeout(20):
            assert "Start it again" in await first.lost
    await store.close()


async def test_the_turn_is_free_when_the_active_one_has_ended(postgresql: PostgreSQL) -> None:
    url = postgresql.create_database()
    for _ in range(2):
        async with asyncio.timeout(20), lead(url) as own:
            assert own.pid


async def test_with_sqlite_the_state_folders_lock_is_enough(tmp_path: Path) -> None:
    async with lead(f"sqlite:///{tmp_path}/controller.sqlite") as own:
        store = await Store.open(f"sqlite:///{tmp_path}/controller.sqlite", HUB, own)
        assert await store.check() == ""
        await store.close()


async def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"):
        async with lead(f"postgresql://nobody@/none?host={tmp_path}"):
            pass
