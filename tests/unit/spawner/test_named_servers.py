"""Servers with names, their homes, and the end of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.spawner.as_the_hub import started
from tornado.web import HTTPError

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import MakeSpawner, StandIn


async def test_named_servers_are_machines_of_their_own(controller: StandIn, spawner_of: MakeSpawner) -> None:
    first, second = spawner_of(), spawner_of("alice", "second")
    await started(first)
    await started(second)
    assert len(controller.machines) == len(controller.volumes) == 2
    await second.stop()
    assert controller.only().server_name == ""
    assert await first.poll() is None


async def test_deleting_a_server_for_good_deletes_its_home_and_no_other(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    first, second = spawner_of(), spawner_of("alice", "second")
    for spawner in first, second:
        await started(spawner)
        await spawner.stop()
        spawner.clear_state()
    await second.delete_forever()
    assert [one.server_name for one in controller.volumes.values()] == [""]


async def test_a_home_follows_its_servers_new_name(controller: StandIn, spawner_of: MakeSpawner) -> None:
    spawner = spawner_of("alice", "second")
    await spawner.rename("second", "third")
    await started(spawner)
    with pytest.raises(HTTPError, match="Delete the machine first: the home stays") as caught:
        await spawner.rename("second", "third")
    assert caught.value.status_code == 409
    await spawner.stop()
    await spawner.rename("second", "third")
    assert [one.server_name for one in controller.volumes.values()] == ["third"]
