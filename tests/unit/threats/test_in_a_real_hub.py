"""What tokens of a real JupyterHub, with the roles of `jupyterhub_config.py`, can and cannot do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from deployment import credentials
from deployment.settings import ROOT, Settings
from jupyterhub.services.auth import HubOAuth
from tests.unit.spawner.controller_standin import StandIn
from tests.unit.spawner.test_in_a_hub import Hub
from tests.unit.web.fakehub import HUB_TOKEN
from tests.unit.web.memory import MemoryEngine, machine
from traitlets.config import PyFileConfigLoader

from cernvmapi import AsyncClient
from cernvmapi.errors import NotFound
from cernvmapi.models import API_PREFIX, Power, Status
from cernvmcontroller.web.server import Listeners
from cernvmcontroller.web.services import make_services
from cernvmcontroller.web.socket import REVOKED
from cernvmspawner.watcher import close_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEADLINE = 60
SERVICE_TOKEN = "the-controllers-own-token-for-the-hub"


class Site:
    """A real hub whose machines are stood in for, and a controller's web side that asks it who is who."""

    def __init__(self, hub: Hub, machines: StandIn, engine: MemoryEngine, port: int) -> None:
        self.hub, self.machines, self.engine = hub, machines, engine
        self.url = f"http://127.0.0.1:{port}{API_PREFIX}"

    def controller(self, token: str) -> httpx.AsyncClient:
        return self.client(self.url, token)

    def hub_as(self, token: str) -> httpx.AsyncClient:
        return self.client(f"http://127.0.0.1:{self.hub.port}/hub/api", token)

    def client(self, url: str, token: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30)

    async def token(self, user: str, **more: Any) -> str:
        await self.hub.call("POST", f"/users/{user}")
        made = await self.hub.call("POST", f"/users/{user}/tokens", **{"note": "test", **more})
        assert made.status_code == 201, made.text
        return str(made.json()["token"])

    async def notebook_token(self, user: str) -> str:
        """Return the token of a user's server, as the spawner gives it to the machine."""
        await self.hub.start_server(f"/users/{user}/server")
        assert (await self.hub.events(f"/users/{user}/server"))[-1]["ready"], self.hub.log()
        return self.machines.sessions[self.machines.only().id][-1].env["JUPYTERHUB_API_TOKEN"]


@pytest.fixture
async def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Site]:
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    credentials.ensure(Settings.from_environment())
    config = PyFileConfigLoader("jupyterhub_config.py", str(ROOT)).load_config()
    roles = [role for role in config.JupyterHub.load_roles if role["name"] in {"user", "cernvm"}]
    (service,) = [one for one in config.JupyterHub.services if one["name"] == "cernvm"]
    service = {**service, "url": "http://127.0.0.1:1", "api_token": SERVICE_TOKEN}
    async with StandIn() as machines:
        hub = Hub(tmp_path, machines, **getattr(request, "param", {}))
        hub.settings["spawner"]["server_token_scopes"] = list(config.Spawner.server_token_scopes)  # type: ignore[index]
        hub.settings |= {
            "services": [service],
            "roles": [
                *roles,
                {"name": "tester", "services": ["test"], "scopes": ["tokens", "groups", "shares"]},
                {"name": "operators", "groups": ["operators"], "scopes": ["custom:cernvm:admin"]},
            ],
            "hub": {"custom_scopes": dict(config.JupyterHub.custom_scopes)},
        }
        engine = MemoryEngine()
        for owner in ("alice", "bob"):
            engine.machines.put(machine(f"m-{owner}", owner))
            engine.volumes.put(f"v-{owner}", owner)
        client = HubOAuth(
            api_url=f"http://127.0.0.1:{hub.port}/hub/api",
            api_token=SERVICE_TOKEN,
            base_url="/services/cernvm/",
            oauth_client_id="service-cernvm",
        )
        listeners = Listeners(make_services(engine, client, HUB_TOKEN, heartbeat=0.1, recheck=0.2))
        port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
        try:
            await hub.start()
            yield Site(hub, machines, engine, port)
        finally:
            await listeners.close()
            await hub.close()
            await close_all()


async def ends(response: httpx.Response) -> None:
    async with asyncio.timeout(DEADLINE):
        async for _chunk in response.aiter_bytes():
            pass


async def test_a_notebooks_token_reaches_its_owners_things_and_dies_with_its_server(site: Site) -> None:
    await site.hub.call("POST", "/users/bob")
    token = await site.notebook_token("alice")
    async with site.hub_as(token) as http:
        for method, path in (
            ("GET", "/users"), ("GET", "/users/bob"), ("POST", "/users/bob/server"), ("GET", "/groups"),
            ("POST", "/users/alice/server"), ("DELETE", "/users/alice/server"), ("GET", "/services"),
            ("POST", "/users/alice/tokens"), ("GET", "/users/alice/tokens"), ("POST", "/users/mallory"),
            ("GET", "/proxy"), ("POST", "/shutdown"), ("POST", "/shares/alice/"),
            ("PATCH", "/users/alice"), ("POST", "/users/bob/activity"),
        ):  # fmt: skip
            answer = await http.request(method, path, json={} if method != "GET" else None)
            assert answer.status_code in {403, 404}, (method, path, answer.text)
        known = (await http.get("/user")).json()
        assert not [scope for scope in known["scopes"] if "admin" in scope]
    async with site.controller(token) as http:
        assert {one["owner"] for one in (await http.get("/machines")).json()["items"]} == {"alice"}
        for path in ("/machines/m-bob", "/machines/m-bob/console", "/volumes/v-bob"):
            assert (await http.get(path)).status_code == 404
        for path in ("/hosts", "/audit", "/pools", "/networks", "/metrics", "/machines?owner=bob"):
            assert (await http.get(path)).status_code == 403
        assert (await http.post("/machines/m-bob/poweroff")).status_code == 404
        assert (await http.put("/machines/m-alice/session", json={})).status_code == 403
        assert (await http.post("/machines/m-alice/start")).status_code == 202
        async with http.stream("GET", "/events") as stream:
            assert stream.status_code == 200
            await site.hub.call("DELETE", "/users/alice/server")
            await ends(stream)
        assert (await http.post("/machines/m-alice/start")).status_code == 401
        assert (await http.get("/machines")).status_code == 401


async def test_a_notebooks_token_opens_its_owners_consoles_until_its_server_ends(site: Site) -> None:
    for owner in ("alice", "bob"):
        site.engine.machines.put(machine(f"m-{owner}", owner, status=Status.RUNNING, power=Power.ON))
    guest = await site.engine.screens.boot("m-alice")
    await guest.write(b"login: ")
    token = await site.notebook_token("alice")
    try:
        async with AsyncClient(site.url, token) as client:
            with pytest.raises(NotFound):
                async with client.console("m-bob"):
                    pass
            async with client.console("m-alice") as console:
                assert await console.read() == b"login: "
                await site.hub.call("DELETE", "/users/alice/server")
                async with asyncio.timeout(DEADLINE):
                    assert await console.read() == b""
                assert console.ended == REVOKED.reason
    finally:
        await site.engine.screens.consoles.close()


async def test_a_right_that_a_group_lost_is_gone_at_once(site: Site) -> None:
    await site.hub.call("POST", "/users/carol")
    joined = await site.hub.call("POST", "/groups/operators/users", users=["carol"])
    assert joined.is_success, joined.text
    token = await site.token("carol")
    async with site.controller(token) as http:
        assert (await http.get("/machines")).json()["total"] == 2
        async with http.stream("GET", "/events") as stream:
            left = await site.hub.client.request(  # type: ignore[union-attr]
                "DELETE", "/api/groups/operators/users", json={"users": ["carol"]}
            )
            assert left.is_success, left.text
            assert (await http.post("/machines/m-alice/poweroff")).status_code == 404
            await ends(stream)
        assert (await http.get("/machines")).json()["total"] == 0
    assert site.engine.audit.rows == []


async def test_a_deleted_users_and_an_expired_token_are_nobodys(site: Site) -> None:
    token, brief = await site.token("bob"), await site.token("alice", expires_in=2)
    async with site.controller(token) as http, http.stream("GET", "/events") as stream:
        assert stream.status_code == 200
        await site.hub.call("DELETE", "/users/bob")
        await ends(stream)
        assert (await http.delete("/machines/m-bob")).status_code == 401
    async with site.controller(brief) as http:
        async with asyncio.timeout(DEADLINE):
            while (await http.post("/machines/m-alice/reboot")).status_code != 401:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await http.get("/machines")).status_code == 401


@pytest.mark.parametrize("site", [{"cmd": ["jupyterhub-singleuser"], "http_timeout": 60}], indirect=True)
async def test_a_visitor_of_a_shared_server_does_not_get_its_owners_machines(site: Site) -> None:
    site.machines.real_servers = True
    owners = await site.notebook_token("alice")
    visitors = await site.token("bob")
    shared = await site.hub.call("POST", "/shares/alice/", user="bob")
    assert shared.is_success, shared.text
    port = site.hub.settings["spawner"]["port"]  # type: ignore[index]
    server = f"http://{site.machines.only().address}:{port}/user/alice"
    before = len(site.machines.requests)
    async with site.client(server, visitors) as http:
        assert (await http.get("/api/status")).status_code == 200, "the visitor is let in"
        assert (await http.get("/cernvm/api/machines")).status_code == 403
        assert (await http.get("/cernvm/health")).status_code == 403
    assert ("GET", "/health") not in site.machines.requests[before:]
    async with site.client(server, owners) as http:
        assert (await http.get("/cernvm/api/machines")).status_code != 403
    async with site.controller(visitors) as http:
        assert {one["owner"] for one in (await http.get("/machines")).json()["items"]} == {"bob"}
        assert (await http.post("/machines/m-alice/poweroff")).status_code == 404
