"""What the page of a start tells while it waits."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.spawner.as_the_hub import DEADLINE, started

from cernvmapi.models import Phase
from cernvmspawner.failure import ServerNotStarted

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import MakeSpawner, StandIn


async def test_progress_tells_every_phase_to_every_listener(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    controller.hold_at = Phase.BOOT
    spawner = spawner_of()

    async def listen() -> list[dict[str, Any]]:
        return [event async for event in spawner.progress()]

    starting = asyncio.ensure_future(started(spawner))
    early = asyncio.ensure_future(listen())
    await controller.until(lambda: any(one.phase is Phase.BOOT for one in controller.machines.values()))
    late = asyncio.ensure_future(listen())
    controller.release()
    await starting
    told = await early
    assert await late == told
    assert [event["progress"] for event in told] == [1, 5, 20, 34, 64, 80, 99]
    assert told[-1]["message"] == "Your notebook server answers"
    json.dumps(told)


async def test_progress_of_a_failed_start_ends(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.fail_at = Phase.DISK
    spawner = spawner_of()
    starting = asyncio.ensure_future(started(spawner))
    await controller.until(lambda: ("POST", "/machines") in controller.requests)
    async with asyncio.timeout(DEADLINE):
        told = [event async for event in spawner.progress()]
    assert told[0]["progress"] == 1
    with pytest.raises(ServerNotStarted):
        await starting


async def test_a_long_wait_is_explained(controller: StandIn, spawner_of: MakeSpawner) -> None:
    controller.hold_at = Phase.BOOT
    spawner = spawner_of(settings={"slow_start_threshold": 0.1, "slow_start_message": "Patience."})
    starting = asyncio.ensure_future(started(spawner))
    async with asyncio.timeout(DEADLINE):
        async for event in spawner.progress():
            if event["message"] == "Patience.":
                break
    controller.release()
    await starting
