"""Bases that no appliance offers and no machine needs do not fill the pools."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.models import OperationStatus, Status
from cernvmcontroller.hypervisor.fakehost import FakeVolume
from cernvmcontroller.hypervisor.interface import VolumeState
from cernvmcontroller.upkeep import garbage
from cernvmcontroller.upkeep.sweep import sweep

BASE, LAYER = f"base-{'a' * 64}.qcow2", f"layer-{'b' * 32}.iso"
POOL = "labhub-host1"


def volume(name, backing=None):
    return VolumeState(name, 1, 1, f"/pool/{name}", backing)


def test_what_is_offered_stood_on_or_referred_to_is_needed():
    there = [volume(BASE), volume(LAYER), volume("disk-unknown.qcow2"), volume("base-other.qcow2")]
    assert garbage.unused(there, (), ()) == {BASE, LAYER}
    assert garbage.unused(there, {BASE}, ()) == {LAYER}
    assert garbage.unused(there, (), {f"/pool/{LAYER}"}) == {BASE}
    assert garbage.unused([*there, volume("whoever made this", f"/pool/{BASE}")], (), ()) == {LAYER}


def test_what_is_needed_again_is_kept_anew():
    now, keep = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
    record = garbage.seen({}, "p", {BASE}, now)
    assert garbage.due(record, "p", now + keep / 2, keep) == []
    assert garbage.read(garbage.write(record)) == record
    record = garbage.seen(record, "p", {BASE}, now + keep)
    assert garbage.due(record, "p", now + keep, keep) == [BASE]
    assert garbage.due(garbage.seen(record, "p", (), now + keep), "p", now + keep, keep) == []


async def unoffered(lab, **settings):
    """Leave a base behind whose appliance is not offered any more."""
    machine = await lab.started()
    [base] = [name for name in lab.volumes() if name.startswith("base-")]
    lab.manifest = lab._manifest("pear")
    lab.settings = replace(lab.settings, **settings)
    await lab.restart()
    await lab.until(machine.id, Status.RUNNING)
    return machine, base


async def delete(lab, machine):
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED


async def test_a_base_goes_with_its_last_machine_when_it_is_not_offered(lab):
    machine, base = await unoffered(lab, keep_unused=0)
    await sweep(lab.engine._shop, POOL)
    assert base in lab.volumes()
    await delete(lab, machine)
    await sweep(lab.engine._shop, POOL)
    assert base not in lab.volumes()
    page = await lab.engine.volumes.page()
    assert base not in [found.name for found in page.items]


async def test_a_base_is_kept_for_a_while_also_over_restarts(lab):
    machine, base = await unoffered(lab)
    await delete(lab, machine)
    await sweep(lab.engine._shop, POOL)
    lab.settings = replace(lab.settings, keep_unused=0.001)
    assert base in lab.volumes()
    await lab.restart()
    await eventually(lambda: base not in lab.volumes())


async def test_a_base_stays_under_a_volume_that_the_database_does_not_know(lab):
    machine, base = await unoffered(lab, keep_unused=0)
    await delete(lab, machine)
    pool = lab.host.pools[POOL]
    pool.volumes["x.qcow2"] = FakeVolume("x.qcow2", "/x", 1, backing=pool.volumes[base].path)
    await sweep(lab.engine._shop, POOL)
    assert base in lab.volumes()


async def test_nothing_goes_while_a_host_of_the_pool_does_not_answer(lab):
    machine, base = await unoffered(lab, keep_unused=0)
    await delete(lab, machine)
    lab.hypervisor.disconnect()
    await sweep(lab.engine._shop, POOL)
    assert base in lab.volumes()


async def test_nothing_goes_while_a_machine_is_put_together(lab):
    machine, base = await unoffered(lab, keep_unused=0)
    await delete(lab, machine)
    lab.hypervisor.deadline = 30
    lab.hypervisor.hang("define")
    other = await lab.create()
    operation = await lab.engine.machines.start(ALICE, other.id, SESSION)
    await eventually(lambda: lab.hypervisor.calls[-1] == "define")
    await sweep(lab.engine._shop, POOL)
    assert base in lab.volumes()
    lab.hypervisor.release("define")
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    await sweep(lab.engine._shop, POOL)
    assert base not in lab.volumes()


async def test_who_wants_a_base_that_is_being_removed_waits_and_brings_it_again(lab):
    machine = await lab.started()
    [base] = [name for name in lab.volumes() if name.startswith("base-")]
    await delete(lab, machine)
    async with lab.engine._shop.uploads.alone(POOL, base) as alone:
        assert alone
        again = await lab.create()
        operation = await lab.engine.machines.start(ALICE, again.id, SESSION)
        await eventually(lambda: (POOL, base) in lab.engine._shop.uploads._running)
        await lab.hypervisor.delete_volume(POOL, base)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == OperationStatus.SUCCEEDED
    assert base in lab.volumes()


@pytest.mark.parametrize("running", [False, True])
async def test_an_upload_that_was_never_finished_is_removed_unless_it_goes_on(lab, running):
    pool = lab.host.pools[POOL]
    pool.volumes[BASE] = FakeVolume(BASE, f"/pool/{BASE}", 1, complete=False)
    if running:
        lab.engine._shop.uploads._running[POOL, BASE] = object()
        lab.disagrees = "the upload never ends"
    await sweep(lab.engine._shop, POOL)
    assert (BASE in pool.volumes) is running
    lab.engine._shop.uploads._running.clear()
    await asyncio.sleep(0)
