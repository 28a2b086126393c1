"""The contract of JupyterHub's spawners, kept against a controller that misbehaves."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.unit.spawner.as_the_hub import started, watched

from cernvmapi.models import MachineCreate, Power, Status, Target
from cernvmspawner.failure import ServerNotStarted

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import MakeSpawner, StandIn


async def test_a_start_without_options_gives_the_defaults(
    controller: StandIn, spawner_of: MakeSpawner, free_port: int
) -> None:
    spawner = spawner_of()
    url = await started(spawner)
    machine = controller.only()
    assert url == f"http://{machine.address}:{free_port}"
    assert (machine.appliance, machine.flavor, machine.owner, machine.server_name) == (
        "cernvm",
        "small",
        "alice",
        "",
    )
    assert controller.requested[0].home
    assert await spawner.poll() is None


async def test_options_are_what_the_machine_becomes(controller: StandIn, spawner_of: MakeSpawner) -> None:
    await started(spawner_of(), {"appliance": "cernvm-next", "flavor": "large"})
    assert (controller.only().appliance, controller.only().flavor) == ("cernvm-next", "large")


async def test_options_that_cannot_be_are_refused_before_anything_is_made(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    with pytest.raises(ServerNotStarted, match="did you mean cernvm") as caught:
        await started(spawner_of(), {"appliance": "cernvn"})
    assert caught.value.status_code == 400
    assert not controller.machines


async def test_a_poll_makes_no_request(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawners = [spawner_of(), spawner_of("bob"), spawner_of("alice", "second")]
    for spawner in spawners:
        await started(spawner)
    asked = list(controller.requests)
    for spawner in spawners * 100:
        assert await spawner.poll() is None
    assert controller.requests == asked
    assert asked.count(("GET", "/events")) == 1


async def test_a_poll_waits_until_the_machines_are_known(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    machine, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(machine.id, status=Status.RUNNING, target=Target.RUNNING, power=Power.ON)
    controller.hold["machines"] = asyncio.Event()
    spawner = spawner_of()
    spawner.load_state({"machine_id": machine.id, "address": machine.address, "port": 8888})
    polling = asyncio.ensure_future(spawner.poll())
    await controller.until(lambda: ("GET", "/machines") in controller.requests)
    assert not polling.done()
    controller.hold["machines"].set()
    assert await polling is None


async def test_a_host_out_of_reach_is_not_a_stopped_server(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of()
    await started(spawner)
    changed = controller.change(spawner.machine_id, power=Power.UNKNOWN)
    await watched(spawner, changed.revision)
    assert await spawner.poll() is None


async def test_a_spawner_that_was_never_started_does_not_run(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    spawner._begun = True
    assert await spawner.poll() == 0
    await spawner.stop()


async def test_a_poll_during_a_start_says_that_it_runs(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.hold["create"] = asyncio.Event()
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: ("POST", "/machines") in controller.requests)
    assert await spawner.poll() is None
    controller.hold["create"].set()
    await starting


async def test_a_server_that_died_is_cleaned_up_once(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    await started(spawner)
    changed = controller.change(spawner.machine_id, status=Status.STOPPED, target=Target.STOPPED)
    await watched(spawner, changed.revision)
    assert await spawner.poll() == 0
    assert await spawner.poll() == 0
    await controller.until(lambda: not controller.machines)
    await spawner.watcher.cleaned_up(("alice", ""))
    assert [method for method, _ in controller.requests].count("DELETE") == 1
    assert await spawner.poll() == 0
    assert len(controller.volumes) == 1


async def test_a_stop_returns_when_the_machine_is_gone_and_the_home_stays(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of()
    await started(spawner)
    await spawner.stop()
    assert not controller.machines
    assert len(controller.volumes) == 1
    await spawner.stop()
    assert await spawner.poll() == 0


async def test_a_machine_can_be_kept_for_the_next_start(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of(settings={"remove": False})
    await started(spawner)
    await spawner.stop()
    assert controller.only().status is Status.STOPPED
    kept = controller.only().id
    await started(spawner_of(settings={"remove": False}))
    assert controller.only().id == kept


async def test_a_kept_machine_starts_again_although_its_appliance_is_hidden_now(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    chosen = {"appliance": "cernvm-next", "flavor": "large"}
    spawner = spawner_of(settings={"remove": False})
    await started(spawner, chosen)
    await spawner.stop()
    kept = controller.only().id
    controller.appliances = [
        msgspec.structs.replace(one, hidden=one.hidden or one.id == "cernvm-next")
        for one in controller.appliances
    ]
    await started(spawner, chosen)
    assert controller.only().id == kept
    with pytest.raises(ServerNotStarted, match="There is no appliance “cernvm-next”"):
        await started(spawner_of("bob"), chosen)


async def test_another_appliance_replaces_the_machine_that_was_kept(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of(settings={"remove": False})
    await started(spawner)
    await spawner.stop()
    home = controller.only().home
    await started(spawner, {"appliance": "cernvm-next", "flavor": "large"})
    assert controller.only().appliance == "cernvm-next"
    assert controller.only().home == home


async def test_state_is_what_a_new_hub_needs(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    url = await started(spawner)
    state = json.loads(json.dumps(spawner.get_state()))
    assert state.keys() == {"machine_id", "address", "port", "uuid"}
    other = spawner_of()
    other.load_state(state)
    assert other.get_state() == state
    assert await other.get_url() == f"{url}/user/alice/"
    assert await other.poll() is None
    await controller.down()
    assert await other.get_url() == f"{url}/user/alice/"
    other.clear_state()
    assert other.get_state() == {}
    await other.get_url()
