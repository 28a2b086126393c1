"""One event stream for all spawners: what the hub knows, when, and what it makes of silence."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.spawner.standin_offer import TOKEN

from cernvmapi.client import AsyncClient
from cernvmapi.models import MachineCreate, Power, Status, Target
from cernvmspawner.spawner import exit_code
from cernvmspawner.watcher import MachineWatcher

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import StandIn

LOG = logging.getLogger("watcher")


@pytest.fixture
async def watcher(controller: StandIn) -> Any:
    made = MachineWatcher(AsyncClient(controller.url, TOKEN), LOG)
    yield made
    await made.close()


def running(controller: StandIn, owner: str = "alice") -> str:
    machine, _ = controller.create(MachineCreate(owner=owner, server_name=""))
    controller.change(machine.id, status=Status.RUNNING, target=Target.RUNNING, power=Power.ON)
    return machine.id


async def seen(watcher: MachineWatcher, machine_id: str, condition: Any) -> Any:
    """Wait until the watcher has seen a machine in some state."""
    async with asyncio.timeout(20), aclosing(watcher.follow(machine_id)) as changes:
        async for machine in changes:
            if condition(machine):
                return machine
    raise AssertionError


async def test_nothing_is_known_before_the_machines_were_listed(
    controller: StandIn, watcher: MachineWatcher
) -> None:
    controller.hold["machines"] = asyncio.Event()
    machine_id = running(controller)
    loading = asyncio.ensure_future(watcher.loaded())
    await controller.until(lambda: ("GET", "/machines") in controller.requests)
    assert not loading.done()
    assert watcher.get(machine_id) is None
    controller.hold["machines"].set()
    await loading
    machine = watcher.get(machine_id)
    assert machine is not None
    assert machine.status is Status.RUNNING


async def test_a_change_is_known_without_asking(controller: StandIn, watcher: MachineWatcher) -> None:
    machine_id = running(controller)
    await watcher.loaded()
    await controller.until(lambda: ("GET", "/events") in controller.requests)
    asked = len(controller.requests)
    controller.change(machine_id, status=Status.STOPPED)
    await seen(watcher, machine_id, lambda one: one.status is Status.STOPPED)
    controller.gone(machine_id)
    await seen(watcher, machine_id, lambda one: one is None)
    assert len(controller.requests) == asked


async def test_a_controller_that_is_away_changes_nothing_and_is_followed_again(
    controller: StandIn, watcher: MachineWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    machine_id = running(controller)
    await watcher.loaded()
    await controller.until(lambda: ("GET", "/events") in controller.requests)
    await controller.down()
    controller.change(machine_id, status=Status.STOPPED)
    machine = watcher.get(machine_id)
    assert machine is not None
    assert machine.status is Status.RUNNING
    controller.up()
    await seen(watcher, machine_id, lambda one: one.status is Status.STOPPED)
    assert "broke off" in caplog.text


async def test_machines_are_listed_again_when_events_were_lost(
    controller: StandIn, watcher: MachineWatcher
) -> None:
    machine_id = running(controller)
    await watcher.loaded()
    await controller.until(lambda: ("GET", "/events") in controller.requests)
    machine = controller.machines.pop(machine_id)
    controller.emit("reset", machine)
    await seen(watcher, machine_id, lambda one: one is None)
    assert controller.requests.count(("GET", "/machines")) == 2


async def test_a_watcher_that_dies_says_so_and_begins_again(
    controller: StandIn, watcher: MachineWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    machine_id = running(controller)
    await watcher.loaded()
    controller.emit("machine.changed", controller.machines[machine_id])
    broken = controller.events[-1]
    controller.events[-1] = type(broken)(
        id=broken.id, type=broken.type, subject=broken.subject, at=broken.at, data={"id": 7}
    )
    await controller.until(lambda: controller.requests.count(("GET", "/machines")) == 2)
    controller.change(machine_id, status=Status.STOPPED)
    await seen(watcher, machine_id, lambda one: one.status is Status.STOPPED)
    assert "it begins again" in caplog.text


async def test_an_answer_counts_before_its_event_comes(controller: StandIn, watcher: MachineWatcher) -> None:
    await watcher.loaded()
    machine, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    watcher.note(machine)
    assert watcher.serving("alice", "") == [machine]
    assert watcher.serving("bob", "") == []


async def test_machines_without_a_server_are_not_the_hubs_business(
    controller: StandIn, watcher: MachineWatcher
) -> None:
    machine, _ = controller.create(MachineCreate(owner="alice"))
    await watcher.loaded()
    assert watcher.get(machine.id) is None


@pytest.mark.parametrize(
    ("status", "target", "power", "code"),
    [
        (Status.RUNNING, Target.RUNNING, Power.ON, None),
        (Status.STARTING, Target.RUNNING, Power.OFF, None),
        (Status.STOPPING, Target.STOPPED, Power.ON, None),
        (Status.PENDING, Target.RUNNING, Power.OFF, None),
        (Status.PENDING, Target.STOPPED, Power.OFF, 0),
        (Status.STOPPED, Target.STOPPED, Power.OFF, 0),
        (Status.FAILED, Target.RUNNING, Power.OFF, 1),
        (Status.DELETING, Target.DELETED, Power.OFF, 0),
        (Status.RUNNING, Target.RUNNING, Power.UNKNOWN, None),
        (Status.FAILED, Target.RUNNING, Power.UNKNOWN, None),
    ],
)
async def test_unknown_is_never_stopped(
    controller: StandIn, status: Status, target: Target, power: Power, code: int | None
) -> None:
    machine, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    assert exit_code(controller.change(machine.id, status=status, target=target, power=power)) == code


def test_a_machine_that_is_gone_is_stopped() -> None:
    assert exit_code(None) == 0
