"""A hub that is killed in the middle of a start, a stop or a delete: the next one puts right what it left."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.unit.spawner.standin_offer import PHASES
from tests.unit.spawner.test_in_a_hub import Hub

from cernvmapi.models import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.spawner.controller_standin import StandIn


@pytest.fixture
async def hub(tmp_path: Path, controller: StandIn) -> AsyncIterator[Hub]:
    made = Hub(tmp_path, controller)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def asked(hub: Hub, method: str, path: str) -> None:
    """Ask a hub that may not live to answer."""
    with suppress(httpx.TransportError):
        await hub.call(method, path)


async def ready(hub: Hub, user: str) -> bool:
    server = await hub.server(user)
    return bool(server and server["ready"])


async def gone(hub: Hub, user: str) -> bool:
    return await hub.server(user) is None


async def test_what_a_hub_that_was_killed_in_any_phase_of_a_start_left_is_removed(
    hub: Hub, controller: StandIn
) -> None:
    controller.hold_of = {phase.value: phase for phase, _message, _percent in PHASES}
    requested = {"created": "create", "started": "start"}
    for user in controller.hold_of:
        await hub.start_server(f"/users/{user}/server")
    await controller.until(
        lambda: (
            {(one.owner, one.phase) for one in controller.machines.values()}
            == set(controller.hold_of.items())
        )
    )
    pending = []
    for user, route in requested.items():
        await hub.call("POST", f"/users/{user}")
        seen = len(controller.requests)
        controller.hold[route] = asyncio.Event()
        pending.append(asyncio.create_task(asked(hub, "POST", f"/users/{user}/server")))
        verb = "/machines" if route == "create" else "/start"
        await controller.until(
            lambda seen=seen, verb=verb: any(
                method == "POST" and path.endswith(verb) for method, path in controller.requests[seen:]
            )
        )
        if route == "create":
            held = controller.hold.pop(route)
    await hub.stop(signal.SIGKILL)
    await asyncio.gather(*pending)
    # What was sent arrives though nobody waits for the answer.
    held.set()
    controller.hold.pop("start").set()
    await controller.until(
        lambda: {one.owner for one in controller.machines.values()} == {*controller.hold_of, *requested}
    )
    await hub.start()
    await controller.until(lambda: not controller.machines, 60)
    for user in (*controller.hold_of, *requested):
        assert await gone(hub, user)
    controller.hold_of = {}
    await hub.start_server("/users/boot/server")
    assert (await hub.events("/users/boot/server"))[-1]["ready"]


STEPS: list[tuple[str, tuple[str, str], bool]] = [
    ("machine", ("GET", "/machines/{id}"), False),
    ("shutdown", ("POST", "/machines/{id}/shutdown"), False),
    ("shutdown", ("POST", "/machines/{id}/shutdown"), True),
    ("operation", ("GET", "/operations/{operation}"), True),
    ("delete", ("DELETE", "/machines/{id}"), False),
    ("delete", ("DELETE", "/machines/{id}"), True),
]
"""Where a stop is when its hub is killed: at which request, and whether the controller acts on it."""


async def test_a_hub_killed_at_any_step_of_a_stop_leaves_a_server_that_runs_or_nothing(
    hub: Hub, controller: StandIn
) -> None:
    for route, (method, pattern), arrives in STEPS:
        await hub.start_server("/users/alice/server")
        await hub.until(lambda: ready(hub, "alice"))
        machine = controller.only()
        controller.requests.clear()
        controller.hold[route] = asyncio.Event()
        pending = asyncio.create_task(asked(hub, "DELETE", "/users/alice/server"))
        prefix = pattern.format(id=machine.id, operation="")
        await controller.until(
            lambda method=method, prefix=prefix: any(
                (said, path[: len(prefix)]) == (method, prefix) for said, path in controller.requests
            )
        )
        await hub.stop(signal.SIGKILL)
        await pending
        if not arrives:
            await controller.down()
            controller.up()
        controller.hold.pop(route).set()
        await hub.start()
        if any(one.status is Status.RUNNING for one in controller.machines.values()):
            assert not arrives
            await hub.until(lambda: ready(hub, "alice"))
            assert controller.only().id == machine.id
            await hub.call("DELETE", "/users/alice/server")
        await controller.until(lambda: not controller.machines, 60)
        await hub.until(lambda: gone(hub, "alice"))
        assert len(controller.volumes) == 1, "the home stays"
