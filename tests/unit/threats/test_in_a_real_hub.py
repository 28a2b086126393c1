"""What tokens of a real JupyterHub, with the roles of `jupyterhub_config.py`, can and cannot do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.unit.web.memoryrows import machine

from cernvmapi import AsyncClient
from cernvmapi.errors import NotFound
from cernvmapi.models import Power, Status
from cernvmcontroller.web.socket import REVOKED

if TYPE_CHECKING:
    from tests.unit.threats.site import Site

DEADLINE = 60
REAL_SERVER = {"cmd": ["jupyterhub-singleuser"], "http_timeout": 60}


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


async def test_a_right_that_a_role_lost_is_gone_though_the_token_and_the_stream_are_of_before(
    site: Site,
) -> None:
    await site.hub.call("POST", "/users/carol")
    assert (await site.hub.call("POST", "/groups/operators/users", users=["carol"])).is_success
    token = await site.token("carol")
    async with site.controller(token) as http, http.stream("GET", "/events") as stream:
        assert (await http.get("/hosts")).status_code == 200
        await site.hub.stop()
        site.hub.settings["roles"][-1]["scopes"] = ["custom:cernvm:read"]  # type: ignore[index]
        await site.hub.start()
        await ends(stream)
        assert (await http.post("/machines/m-alice/poweroff")).status_code == 404
        assert (await http.get("/hosts")).status_code == 403
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


@pytest.mark.parametrize("site", [{"spawner": REAL_SERVER}], indirect=True)
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
        assert (await http.get("/cernvm/api/v1/machines")).status_code == 403
        assert (await http.get("/cernvm/health")).status_code == 403
    assert ("GET", "/health") not in site.machines.requests[before:]
    async with site.client(server, owners) as http:
        assert (await http.get("/cernvm/api/v1/machines")).status_code != 403
    async with site.controller(visitors) as http:
        assert {one["owner"] for one in (await http.get("/machines")).json()["items"]} == {"bob"}
        assert (await http.post("/machines/m-alice/poweroff")).status_code == 404


@pytest.mark.parametrize("site", [{"spawner": REAL_SERVER, "with_proxy": True}], indirect=True)
async def test_a_log_in_at_one_server_is_none_at_another_whose_name_looks_alike(site: Site) -> None:
    site.machines.real_servers = True
    servers = {"/users/alice/servers/x-y": "/user/alice/x-y", "/users/alice-x/servers/y": "/user/alice-x/y"}
    for api in servers:
        await site.hub.start_server(api)
        assert (await site.hub.events(api))[-1]["ready"], site.hub.log()
    origin = f"http://127.0.0.1:{site.hub.settings['public_port']}"
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=30) as person:
        login = await person.get(f"{origin}/hub/login")
        form = {"username": "alice", "password": "x", "_xsrf": person.cookies["_xsrf"]}
        assert (
            await person.post(f"{origin}/hub/login", data=form, follow_redirects=False)
        ).status_code == 302
        assert login.status_code == 200
        page = await person.get(f"{origin}/user/alice/x-y/lab")
        assert (page.status_code, page.url.path) == (200, "/user/alice/x-y/lab")
        assert "jupyterhub-user-alice!x-y" in person.cookies
        others = await person.get(f"{origin}/user/alice-x/y/api/contents")
        assert others.status_code in {403, 404}, others.text
