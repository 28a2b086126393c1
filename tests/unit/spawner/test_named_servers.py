"""Servers with names, their homes, and the end of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.spawner.as_the_hub import started, watched
from tornado.web import HTTPError

from cernvmapi.errors import Conflict

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
    await spawner.stop()
    await spawner.rename("second", "third")
    assert [one.server_name for one in controller.volumes.values()] == ["third"]


async def test_a_machine_that_was_kept_follows_its_servers_new_name(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of("alice", "second", settings={"remove": False})
    await started(spawner)
    await spawner.stop()
    await spawner.rename("second", "third")
    assert controller.only().server_name == "third"
    assert [one.server_name for one in controller.volumes.values()] == ["third"]
    before = controller.only().id
    await started(spawner_of("alice", "third", settings={"remove": False}))
    assert controller.only().id == before


async def test_a_new_name_that_the_controller_refuses_is_refused_with_its_reason(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of("alice", "second")
    await started(spawner)
    controller.refuse["change"] = Conflict("The server has the machine m-2 already.")
    with pytest.raises(HTTPError, match="has the machine m-2 already") as caught:
        await spawner.rename("second", "third")
    assert caught.value.status_code == 409


async def test_a_running_machine_follows_its_user_whom_the_hub_renamed(
    controller: StandIn, spawner_of: MakeSpawner
) -> None:
    spawner = spawner_of("alice")
    await started(spawner)
    spawner.user.name = "alicia"
    assert await spawner.poll() is None
    await controller.until(lambda: controller.only().owner == "alicia")
    assert [one.owner for one in controller.volumes.values()] == ["alicia"]
    await watched(spawner, controller.only().revision)
    requests = len(controller.requests)
    assert await spawner.poll() is None
    assert len(controller.requests) == requests
