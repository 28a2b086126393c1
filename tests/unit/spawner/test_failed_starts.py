"""Starts that are left, cancelled or fail: what the person reads, and that nothing stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.unit.spawner.as_the_hub import DEADLINE, started

from cernvmapi.errors import NoRoom
from cernvmapi.models import MachineCreate, Phase, Power, Status, Target
from cernvmspawner.failure import ServerNotStarted

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import MakeSpawner, StandIn


@pytest.mark.parametrize("status", [Status.STARTING, Status.RUNNING, Status.FAILED])
async def test_what_an_interrupted_start_left_is_replaced(
    controller: StandIn, spawner_of: MakeSpawner, status: Status
) -> None:
    left, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(left.id, status=status, target=Target.RUNNING)
    await started(spawner_of())
    assert controller.only().id != left.id
    assert controller.only().status is Status.RUNNING


async def test_what_a_hub_that_was_killed_in_a_start_left_is_removed_when_it_is_back(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    left, _ = controller.create(MachineCreate(owner="alice", server_name=""))
    controller.change(left.id, status=Status.RUNNING, target=Target.RUNNING, power=Power.ON)
    spawner = spawner_of()
    spawner.load_state({})
    assert await spawner.poll() == 0
    await controller.until(lambda: not controller.machines)


async def test_a_cancelled_start_leaves_nothing(controller: StandIn, spawner_of: MakeSpawner) -> None:
    for phase in Phase.PLACED, Phase.BOOT, Phase.SERVER:
        controller.hold_at = phase
        spawner = spawner_of()
        starting = asyncio.ensure_future(started(spawner))
        await controller.until(
            lambda phase=phase: any(one.phase is phase for one in controller.machines.values())
        )
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(starting, 1)
        async with asyncio.timeout(DEADLINE):
            if await spawner.poll() is None:
                await spawner.stop()
        await controller.until(lambda: not controller.machines)


async def test_a_start_that_is_cancelled_while_the_machine_is_made_leaves_nothing(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold["create"] = asyncio.Event()
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: ("POST", "/machines") in controller.requests)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(starting, 1)
    assert await spawner.poll() == 0
    spawner.clear_state()
    controller.hold["create"].set()
    await controller.until(lambda: controller.requested and not controller.machines)


@pytest.mark.parametrize("phase", [Phase.PLACED, Phase.DISK, Phase.BOOT, Phase.CONTEXT, Phase.SERVER])
async def test_a_start_that_fails_says_why_and_leaves_nothing(
    controller: StandIn, spawner_of: MakeSpawner, phase: Phase
) -> None:
    controller.fail_at = phase
    spawner = spawner_of()
    with pytest.raises(ServerNotStarted) as caught:
        await started(spawner)
    assert caught.value.message == controller.failure.detail
    assert "Linux version 6.1" in caught.value.message_html
    assert caught.value.reason == "start-failed"
    await controller.until(lambda: not controller.machines)
    assert await spawner.poll() in (0, 1)


async def test_a_start_that_fails_says_why_while_what_it_made_is_still_being_removed(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.fail_at = Phase.BOOT
    controller.undone.clear()
    with pytest.raises(ServerNotStarted) as caught:
        await started(spawner_of())
    assert caught.value.message == controller.failure.detail
    controller.undone.set()
    await controller.until(lambda: not controller.machines)


async def test_a_refusal_of_the_controller_reaches_the_person(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.refuse["create"] = NoRoom("No host has 8 GiB of memory free: choose a smaller size.")
    with pytest.raises(ServerNotStarted, match="choose a smaller size") as caught:
        await started(spawner_of())
    assert (caught.value.reason, caught.value.status_code) == ("no-room", 409)


async def test_a_machine_that_vanishes_ends_the_start(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.vanish_at = Phase.BOOT
    with pytest.raises(ServerNotStarted, match="deleted while it started"):
        await started(spawner_of())


async def test_a_start_that_takes_too_long_says_how_far_it_came(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold_at = Phase.BOOT
    spawner = spawner_of(settings={"start_timeout": 3})
    with pytest.raises(ServerNotStarted, match=r"in time \(1.5 seconds\).*The machine boots"):
        await started(spawner)


async def test_a_controller_that_is_away_is_named(controller: StandIn, spawner_of: MakeSpawner) -> None:
    await controller.down()
    spawner = spawner_of()
    with pytest.raises(ServerNotStarted, match="does not answer") as caught:
        await started(spawner)
    assert caught.value.status_code == 503
    assert "There is nothing to choose from at the moment" in await spawner.get_options_form()


async def test_a_controller_that_is_restarted_in_a_start_finishes_it(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold_at = Phase.BOOT
    controller.forget_session_at = Phase.CONTEXT
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: any(one.phase is Phase.BOOT for one in controller.machines.values()))
    await controller.down()
    controller.release()
    await controller.until(lambda: controller.only().awaiting_session)
    controller.up()
    assert await starting
    assert len(controller.sessions[spawner.machine_id]) == 1


async def test_a_machine_that_is_rebooted_gets_its_session_again(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of()
    await started(spawner)
    before = controller.sessions[spawner.machine_id][-1]
    controller.change(spawner.machine_id, awaiting_session=True)
    await controller.until(lambda: len(controller.sessions[spawner.machine_id]) == 2)
    assert controller.sessions[spawner.machine_id][-1] == before


async def test_a_machine_whose_address_comes_late_gets_its_session_then(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.addresses_known = False
    assert "127.80.1." in await started(spawner_of())
