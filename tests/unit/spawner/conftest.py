"""A stand-in controller, and spawners as the hub makes them."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from jupyterhub import orm
from tests.unit.spawner.controller_standin import MakeSpawner, StandIn
from tests.unit.spawner.standin_offer import TOKEN
from traitlets.config import Config

from cernvmspawner import CernVMSpawner
from cernvmspawner.watcher import close_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def controller() -> AsyncIterator[StandIn]:
    async with StandIn() as stand_in:
        yield stand_in
        await close_all()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def spawner_of(controller: StandIn, free_port: int) -> MakeSpawner:
    """Return what makes a spawner as JupyterHub does, without a hub around it."""

    def make(
        user: str = "alice", name: str = "", *, settings: dict[str, Any] | None = None, **kwargs: Any
    ) -> CernVMSpawner:
        config = Config()
        config.CernVMSpawner.update(
            {
                "controller_url": controller.url,
                "controller_token": TOKEN,
                "port": free_port,
                **(settings or {}),
            }
        )
        path = f"/user/{user}/" + (f"{name}/" if name else "")
        return CernVMSpawner(
            config=config,
            user=SimpleNamespace(name=user, url=f"/user/{user}/", escaped_name=user, groups=[], admin=False),
            hub=SimpleNamespace(
                public_host="",
                api_url="http://127.0.0.1:8081/hub/api",
                base_url="/hub/",
                url="http://127.0.0.1:8081/hub/",
            ),
            orm_spawner=SimpleNamespace(
                name=name,
                display_name=name,
                server=orm.Server(proto="http", ip="", port=0, base_url=path, cookie_name="c"),
            ),
            api_token="secret-api-token",
            oauth_client_id="jupyterhub-user-" + user,
            **kwargs,
        )

    return make
