"""Opening a database: made, migrated, refused."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from tests.unit.store.samples import HUB

from cernvmcontroller.store import Store, StoreError, migrations, volumes
from cernvmcontroller.store.database import Database
from cernvmcontroller.store.tables import Table

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.config import Config


async def test_a_new_database_is_made_and_opened_again(database_url: str) -> None:
    beginnings = []
    for _ in range(2):
        store = await Store.open(database_url, HUB)
        beginnings.append(store.events.last_id())
        await store.close()
    assert beginnings[0] == beginnings[1]


async def test_the_migrations_lead_to_exactly_the_tables_that_the_program_knows(database_url: str) -> None:
    await (await Store.open(database_url, HUB)).close()
    database = Database(database_url)
    async with database.reading.connect() as connection:
        drift = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True}), Table.metadata
            )
        )
    await database.close()
    assert drift == []


async def test_an_unfinished_migration_leaves_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("power cut")

    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", breaks)
        with pytest.raises(RuntimeError, match="power cut"):
            await Store.open(database_url, HUB)
    await (await Store.open(database_url, HUB)).close()


async def test_a_database_of_a_newer_program_is_refused_and_says_what_to_do(database_url: str) -> None:
    await (await Store.open(database_url, HUB)).close()
    database = Database(database_url)
    async with database.writing.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StoreError, match=r"newer CernVM Hub \(its form is 9999\): update this program"):
        await Store.open(database_url, HUB)


async def test_the_database_of_another_hub_is_refused(database_url: str) -> None:
    await (await Store.open(database_url, HUB)).close()
    with pytest.raises(StoreError, match=f"belongs to the hub {HUB}"):
        await Store.open(database_url, "another")


async def test_another_kind_of_database_is_refused_without_telling_its_password() -> None:
    with pytest.raises(StoreError, match="neither SQLite nor PostgreSQL") as caught:
        await Store.open("mysql+aiomysql://hub:secret@db/hub", HUB)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_sqlite_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="has to be a file"):
        await Store.open(url, HUB)


async def test_only_the_controllers_account_reads_the_sqlite_files(tmp_path: Path) -> None:
    path = tmp_path / "state" / "controller.sqlite"
    path.parent.mkdir()
    path.touch(mode=0o644)
    store = await Store.open(f"sqlite:///{path}", HUB)
    async with store.read() as session:
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
        assert await session.scalar(text("PRAGMA synchronous")) == 2
        files = sorted(file.name for file in path.parent.iterdir())
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert files == ["controller.sqlite", "controller.sqlite-shm", "controller.sqlite-wal"]
    assert modes == {0o600}


def test_every_migration_is_in_one_line() -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    assert len(ScriptDirectory.from_config(migrations.configuration()).get_heads()) == 1


async def test_an_older_database_is_brought_to_the_newest_form_with_all_that_is_in_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _revision: upgrade(config, "0001"))
        database = Database(database_url)
        async with database.writing.begin() as connection:
            await connection.run_sync(migrations.upgrade, database.name)
            await connection.execute(text("INSERT INTO meta VALUES ('hub_id', :hub)"), {"hub": HUB})
            await connection.execute(
                text("INSERT INTO pools VALUES ('p', 'p', '', :no, 1, 1, :no)"), {"no": False}
            )
            zone = "+00" if database.dialect == "postgresql" else ".000000"
            columns = "id, kind, name, pool, owner, server_name, capacity_mib, created"
            values = f"'v-1', 'home', 'home-v-1.qcow2', 'p', 'alice', '', 1, '2026-01-01 00:00:00{zone}'"
            await connection.execute(text(f"INSERT INTO volumes ({columns}) VALUES ({values})"))
        await database.close()
    store = await Store.open(database_url, HUB)
    async with store.read() as session:
        home = await volumes.home(session, "alice", "")
        assert home is not None
        assert (home.id, home.owner_id) == ("v-1", None)
    await store.close()
