"""A database that cannot be used for a while costs a refusal and some patience, no machine and no process."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import ALICE, SESSION, Lab, eventually
from sqlalchemy import event, text
from tests.fixtures.postgres import PostgreSQL

from cernvmapi.errors import StoreUnavailable
from cernvmapi.models import OperationStatus, Power, Status
from cernvmcontroller.store import database


@pytest.fixture
async def impatient(lab, monkeypatch):
    """A controller that gives a locked database up soon."""
    monkeypatch.setattr(database, "_BUSY_MS", 20)
    monkeypatch.setattr("cernvmcontroller.engine._CHECK_AGAIN", 0.02)
    monkeypatch.setattr("cernvmcontroller.telemetry.health.STORE_EVERY", 0)
    lab.settings = replace(lab.settings, poll_interval=0.05)
    await lab.restart()
    return lab


@asynccontextmanager
async def locked(lab):
    """Let another program hold the database."""
    other = sqlite3.connect(lab.database, isolation_level=None, timeout=30, check_same_thread=False)
    # In a thread: the controller may be writing, and has to come to its end.
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@asynccontextmanager
async def full(lab):
    """Let the database's disk have no more room than is in use."""
    engine = lab.store._database.writing.sync_engine
    async with lab.store.read() as session:
        pages = await session.scalar(text("PRAGMA page_count"))

    def limit(connection, _record, _proxy):
        connection.cursor().execute(f"PRAGMA max_page_count = {pages}")

    event.listen(engine, "checkout", limit)
    try:
        yield
    finally:
        pages *= 100


async def store_of(engine):
    health = await engine.health()
    (part,) = [part for part in health.components if part.name == "store"]
    return health.status, part.status, part.detail


async def test_a_start_waits_for_the_database_and_is_gone_on_with(impatient):
    lab = impatient
    lab.template = {"slow": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests and lab.guest(machine.uuid).state == "starting")
    async with locked(lab):
        await lab.guest(machine.uuid).ready()
        with pytest.raises(StoreUnavailable, match="is locked"):
            await lab.create(server_name="second")
        assert (await lab.engine.machines.get(machine.id)).status == Status.STARTING
        await eventually(lambda: bool(lab.engine.store.problem))
        assert await store_of(lab.engine) == ("down", "down", lab.engine.store.problem)
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.SUCCEEDED, done
    await eventually(lambda: not lab.engine.store.problem)
    assert await store_of(lab.engine) == ("ok", "ok", "")
    assert len(lab.host.domains) == 1


async def test_a_start_on_a_full_disk_is_gone_on_with_when_there_is_room(impatient):
    lab = impatient
    lab.template = {"slow": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await eventually(lambda: machine.uuid in lab.guests and lab.guest(machine.uuid).state == "starting")
    async with full(lab):
        with pytest.raises(StoreUnavailable, match="its disk is full"):  # noqa: PT012
            for number in range(50):
                await lab.create(server_name=f"more-{number}")
        await lab.guest(machine.uuid).ready()
        await eventually(lambda: "is full" in lab.engine.store.problem)
        assert (await lab.engine.machines.get(machine.id)).status == Status.STARTING
        assert machine.uuid in lab.host.domains
    done = await lab.engine.operations.wait(operation.id, 10)
    assert done.status == OperationStatus.SUCCEEDED, done
    await eventually(lambda: not lab.engine.store.problem)
    assert len(lab.host.domains) == 1


async def test_a_start_outlives_a_restart_of_postgresql(tmp_path, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.engine._CHECK_AGAIN", 0.02)
    lab = Lab(tmp_path)
    lab.template = {"slow": True}
    lab.settings = replace(lab.settings, poll_interval=0.05)
    # Not pytest's folder: its path is too long for a unix socket.
    with tempfile.TemporaryDirectory(prefix="cernvm-pg-") as folder:
        server = PostgreSQL(Path(folder))
        await asyncio.to_thread(server.start)
        try:
            lab.url = server.create_database()
            await lab.begin()
            machine = await lab.create()
            operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
            await eventually(
                lambda: machine.uuid in lab.guests and lab.guest(machine.uuid).state == "starting"
            )
            await asyncio.to_thread(server.go_away)
            await lab.guest(machine.uuid).ready()
            await eventually(lambda: "does not answer" in lab.engine.store.problem)
            assert (await store_of(lab.engine))[:2] == ("down", "down")
            assert machine.uuid in lab.host.domains
            await asyncio.to_thread(server.serve)
            done = await lab.engine.operations.wait(operation.id, 20)
            assert done.status == OperationStatus.SUCCEEDED, done
            assert (await lab.engine.machines.get(machine.id)).status == Status.RUNNING
            assert len(lab.host.domains) == 1
            await lab.agrees()
        finally:
            await lab.end()
            await asyncio.to_thread(server.stop)


async def test_a_host_that_comes_back_while_the_database_is_away_is_not_lost(impatient, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.inventory.hostlink._RETRY", 0.02)
    lab = impatient
    machine = await lab.started()
    async with locked(lab):
        lab.hypervisor.disconnect()
        await eventually(lambda: not lab.engine.inventory.alive("host1"))
        lab.hypervisor.reconnect()
    await eventually(lambda: lab.engine.inventory.alive("host1"))
    await lab.until_true(machine.id, lambda found: found.power is Power.ON)
