"""A controller that lost its database says so for a while; nothing is concluded from that."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.unit.spawner.test_spawner_contract import started

from cernvmapi.errors import Busy
from cernvmapi.models import MachineCreate, Power, Status, Target

if TYPE_CHECKING:
    import pytest
    from tests.unit.spawner.controller_standin import MakeSpawner, StandIn


async def test_a_poll_waits_while_the_controller_does_not_know_all_machines(
    controller: StandIn, spawner_of: MakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cernvmspawner.watcher.FIRST_PAUSE", 0.01)
    machine, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(machine.id, status=Status.RUNNING, target=Target.RUNNING, power=Power.ON)
    controller.refuse["machines"] = controller.refuse["events"] = Busy("The database is new.")
    spawner = spawner_of()
    spawner.load_state({"machine_id": machine.id, "address": machine.address, "port": 8888})
    polling = asyncio.ensure_future(spawner.poll())
    await controller.until(lambda: controller.requests.count(("GET", "/machines")) > 2)
    assert not polling.done()
    controller.refuse.clear()
    assert await polling is None


async def test_a_running_server_is_not_forgotten_while_the_database_is_rebuilt(
    controller: StandIn, spawner_of: MakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cernvmspawner.watcher.FIRST_PAUSE", 0.01)
    spawner = spawner_of()
    await started(spawner)
    running = controller.only()
    listed = controller.requests.count(("GET", "/machines"))
    # The controller comes back with a new database: first it does not say what there is, then all of it.
    controller.refuse["machines"] = Busy("The database is new.")
    controller.machines.clear()
    controller.emit("reset", running)
    await controller.until(lambda: controller.requests.count(("GET", "/machines")) > listed + 2)
    assert await spawner.poll() is None
    found = controller.machines[running.id] = replace(running, revision=1)
    controller.refuse.clear()
    async with asyncio.timeout(20), aclosing(spawner.watcher.follow(running.id)) as changes:
        async for machine in changes:
            assert machine is not None
            if machine == found:
                break
    assert await spawner.poll() is None


async def test_a_stop_waits_until_the_controller_knows_its_machines(
    controller: StandIn, spawner_of: MakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cernvmspawner.lifecycle.RETRY", 0.01)
    spawner = spawner_of()
    await started(spawner)
    for verb in ("machine", "shutdown", "delete", "operations"):
        controller.refuse[verb] = Busy("The database is new.")
    asked = len(controller.requests)
    stopping = asyncio.ensure_future(spawner.stop())
    await controller.until(lambda: len(controller.requests) > asked + 3)
    assert not stopping.done()
    controller.refuse.clear()
    await stopping
    assert not controller.machines
