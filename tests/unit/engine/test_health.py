"""Dead, degraded and well are told apart."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from certipy import Certipy
from scripted import ALICE, eventually
from sqlalchemy.ext.asyncio import create_async_engine

from cernvmapi.models import ComponentHealth
from cernvmcontroller.inventory import Inventory
from cernvmcontroller.telemetry import health
from cernvmcontroller.telemetry.health import LoopLag, Pulse, StoreCheck


async def part(engine, name):
    found = await engine.health()
    return found.status, next(each for each in found.components if each.name == name)


async def well(lab):
    async def ok():
        return (await lab.engine.health()).status == "ok"

    await eventually(ok)


async def test_a_host_that_is_away_degrades_and_says_since_when(two_hosts):
    await well(two_hosts)
    _, before = await part(two_hosts.engine, "host/host2")
    two_hosts.hypervisors["host2"].disconnect()
    await eventually(lambda: not two_hosts.engine.inventory.alive("host2"))
    status, found = await part(two_hosts.engine, "host/host2")
    assert (status, found.status) == ("degraded", "down")
    assert found.since > before.since
    assert found.detail
    assert (await part(two_hosts.engine, "host/host2"))[1].since == found.since


async def test_a_host_whose_breaker_is_open_is_degraded(lab):
    lab.hypervisor.breaker_open = True
    status, found = await part(lab.engine, "host/host1")
    assert status == "degraded"
    assert "deadlines" in found.detail


async def test_a_database_that_cannot_be_read_is_dead(lab, monkeypatch, tmp_path):
    await well(lab)
    monkeypatch.setattr(health, "STORE_EVERY", 0)
    gone = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/none/database")
    monkeypatch.setattr(lab.store._database, "_reading", gone)
    status, found = await part(lab.engine, "store")
    assert (status, found.status) == ("down", "down")
    assert "cannot be read" in found.detail


async def test_a_database_that_cannot_be_written_is_dead(lab, monkeypatch):
    await well(lab)
    monkeypatch.setattr(health, "STORE_EVERY", 0)
    with monkeypatch.context() as impatient:
        impatient.setattr(health, "STORE_PATIENCE", 0.1)
        async with lab.store.turn:  # somebody writes and never ends
            status, found = await part(lab.engine, "store")
    assert status == "down"
    assert "did not answer" in found.detail
    assert (await part(lab.engine, "store"))[0] == "ok"


async def test_many_who_ask_are_one_write(lab):
    check = StoreCheck(lab.store)
    written = lab.store.turn.measures = _Writes()
    await asyncio.gather(*(check.look() for _ in range(50)))
    assert written.count == 1


class _Writes:
    count = 0

    def wrote(self, waited, seconds):
        self.count += 1


async def test_a_pool_that_is_nearly_full_degrades(lab, monkeypatch):
    await well(lab)
    monkeypatch.setattr(health, "STORE_EVERY", 0)
    monkeypatch.setattr(health, "NEARLY_FULL", 1.1)
    status, found = await part(lab.engine, "pool/labhub-host1")
    assert status == "degraded"
    assert "are free" in found.detail


async def test_one_round_that_fails_is_not_the_last_one(lab, monkeypatch):
    await lab.end()
    lab.settings = type(lab.settings)(**{**vars(lab.settings), "poll_interval": 0.01})
    rounds = []

    async def measure(_self, _link):
        rounds.append(1)
        raise OSError("disk full")

    monkeypatch.setattr(Inventory, "_alive", _nothing)
    monkeypatch.setattr(Inventory, "measure", measure)
    await lab.begin()
    await eventually(lambda: len(rounds) > 2)
    assert (await part(lab.engine, "reconciler"))[1].status == "ok"


async def _nothing(_self, _link):
    return


def test_a_reconciler_that_stands_still_is_dead():
    pulse = Pulse(longest=-1)
    assert health.overall([pulse.health()]) == "down"
    assert "Restart the controller" in pulse.health().detail


def test_a_loop_that_stood_still_is_told_for_a_minute():
    lag = LoopLag()
    lag.note(0, 5.0)
    assert lag.health().status == "degraded"
    lag.note(61, 0.0)
    assert (lag.worst, lag.health().status) == (0, "ok")


def test_hosts_make_nobody_dead():
    away = ComponentHealth(name="host/x", status="down")
    assert health.overall([away]) == "degraded"
    assert health.overall([]) == "ok"


def test_certificates_that_end_soon_are_told_with_the_way_out(tmp_path):
    certipy = Certipy(store_dir=str(tmp_path))
    certipy.create_ca("some-ca", years=5)
    files = [tmp_path / "some-ca" / "some-ca.crt", tmp_path / "missing.crt"]
    now = datetime.now(UTC)
    watched = health.Certificates(files)
    assert [one.status for one in watched.health(now + timedelta(days=5 * 365 - 95))] == ["ok"]
    (found,) = watched.health(now + timedelta(days=5 * 365 - 85))
    assert found.status == "degraded"
    assert f"end on {now + timedelta(days=5 * 365):%Y-%m-%d}" in found.detail
    assert "make run" in found.detail
    assert list(health.Certificates([]).health()) == []


async def test_a_start_leaves_it_well(lab):
    await lab.started(ALICE)
    await well(lab)
