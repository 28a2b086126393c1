"""A database that cannot be used for a while costs a refusal and some patience, no machine and no process."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.errors import StoreUnavailable
from cernvmapi.models import OperationStatus, Power, Status
from cernvmcontroller.store import database


@pytest.fixture
async def impatient(lab, monkeypatch):
    """A controller that gives a locked database up soon."""
    monkeypatch.setattr(database, "_BUSY_MS", 20)
    monkeypatch.setattr("cernvmcontroller.machines.engine._CHECK_AGAIN", 0.02)
    monkeypatch.setattr("cernvmcontroller.machines.health.STORE_EVERY", 0)
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
