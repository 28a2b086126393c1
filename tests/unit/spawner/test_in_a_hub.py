"""The spawner in a real JupyterHub, used through its REST API and its pages."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import httpx
import pytest
from deployment import credentials
from deployment.settings import ROOT, Settings
from lxml import html
from msgspec.structs import replace
from tests.unit.spawner.controller_standin import StandIn
from tests.unit.spawner.standin_offer import TOKEN
from traitlets.config import PyFileConfigLoader

from cernvmapi.models import Phase, Power, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.unit.spawner.controller_standin import StandIn

HUB_TOKEN = "a-token-of-the-test-service"
DEADLINE = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Hub:
    """A JupyterHub process that can be ended and started again."""

    def __init__(
        self, folder: Path, controller: StandIn, *, internal_ssl: bool = False, **spawner: Any
    ) -> None:
        self.folder, self.internal_ssl = folder, internal_ssl
        self.port = free_port()
        self.settings = {
            "port": self.port,
            "public_port": free_port(),
            "token": HUB_TOKEN,
            "internal_ssl": internal_ssl,
            "services": [],
            "roles": [],
            "spawner": {
                "controller_url": controller.url,
                "controller_token": TOKEN,
                "port": free_port(),
                "poll_interval": 1,
                "slow_start_threshold": 0,
                **spawner,
            },
        }
        self.process: asyncio.subprocess.Process | None = None
        self.client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        with (self.folder / "hub.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "jupyterhub",
                "-f",
                str(Path(__file__).with_name("hub_config.py")),
                cwd=self.folder,
                env={**os.environ, "TEST_HUB": json.dumps(self.settings)},
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(DEADLINE):
            while not await self._answers():
                assert self.process.returncode is None, self.log()
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        with suppress(httpx.TransportError, FileNotFoundError):
            if self.client is None:
                scheme, verify = "http", ssl.create_default_context()
                if self.internal_ssl:
                    scheme, inside = "https", self.folder / "internal-ssl"
                    verify = ssl.create_default_context(cafile=str(inside / "hub-ca_trust.crt"))
                    verify.load_cert_chain(
                        inside / "hub-internal/hub-internal.crt", inside / "hub-internal/hub-internal.key"
                    )
                self.client = httpx.AsyncClient(
                    base_url=f"{scheme}://127.0.0.1:{self.port}/hub",
                    headers={"Authorization": f"token {HUB_TOKEN}"},
                    timeout=60,
                    verify=verify,
                )
            return (await self.client.get("/api/")).is_success
        return False

    async def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self.process and self.process.returncode is None:
            self.process.send_signal(sign)
            await self.process.wait()

    async def close(self) -> None:
        pid = self.folder / "jupyterhub-proxy.pid"
        proxy = int(pid.read_text()) if pid.exists() else None
        await self.stop()
        if proxy is not None:
            # The hub ends it at a SIGTERM, unless that came in the middle of something.
            with suppress(ProcessLookupError):
                os.kill(proxy, signal.SIGTERM)
        if self.client:
            await self.client.aclose()

    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    async def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        assert self.client is not None
        return await self.client.request(method, f"/api{path}", json=body or None)

    async def start_server(self, path: str, **body: Any) -> None:
        user = path.split("/")[2]
        await self.call("POST", f"/users/{user}")
        answer = await self.call("POST", path, **body)
        assert answer.status_code in (201, 202), answer.text

    async def events(
        self, path: str, seen: str = "", then: Callable[[], None] = lambda: None
    ) -> list[dict[str, Any]]:
        """Return all of a server's progress, up to its end; do `then` when the message `seen` was."""
        assert self.client is not None
        told = []
        async with asyncio.timeout(DEADLINE), self.client.stream("GET", f"/api{path}/progress") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    told.append(json.loads(line.removeprefix("data:")))
                    if told[-1]["message"] == seen:
                        then()
        return told

    async def server(self, user: str, name: str = "") -> dict[str, Any] | None:
        found = (await self.call("GET", f"/users/{user}")).json()["servers"].get(name)
        return found if found and not found.get("stopped") else None

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(DEADLINE):
            while not (value := await condition()):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
            return value


@pytest.fixture
async def hub(tmp_path: Path, controller: StandIn, request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    made = Hub(tmp_path, controller, **getattr(request, "param", {}))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_a_server_is_started_watched_and_stopped_by_the_rest_api(hub: Hub, controller: StandIn) -> None:
    controller.hold_at = Phase.BOOT
    await hub.start_server("/users/alice/server")
    told = await hub.events("/users/alice/server", "The machine boots", controller.release)
    assert [one["message"] for one in told][1:5] == [
        "Looking for room for your machine…",
        (
            "The machine goes to the host local. This host emulates the processor, "
            "so the start takes a minute or more."
        ),
        "Its disk is ready",
        "The machine boots",
    ]
    assert told[-1]["ready"]
    server = await hub.server("alice")
    assert server is not None
    assert server["state"]["machine_id"] == controller.only().id
    answer = await hub.call("DELETE", "/users/alice/server")
    assert answer.status_code in (202, 204)
    await controller.until(lambda: not controller.machines)
    assert len(controller.volumes) == 1

    # A choice, and a named server.
    await hub.start_server(
        "/users/alice/servers/big", user_options={"appliance": "cernvm-next", "flavor": "large"}
    )
    assert (await hub.events("/users/alice/servers/big"))[-1]["ready"]
    assert controller.only().appliance == "cernvm-next"
    assert controller.only().server_name == "big"

    # What cannot be is refused with the reason.
    await hub.call("POST", "/users/bob")
    refused = await hub.call("POST", "/users/bob/server", user_options={"flavor": "huge"})
    if refused.status_code == 202:
        told = await hub.events("/users/bob/server")
        assert "There is no flavor “huge”" in told[-1]["message"]
    else:
        assert refused.status_code == 400
        assert "There is no flavor “huge”" in refused.json()["message"]

    # A named server that is deleted takes its home with it.
    await hub.call("DELETE", "/users/alice/servers/big", remove=True)
    await controller.until(lambda: [one.server_name for one in controller.volumes.values()] == [""])
    await hub.call("DELETE", "/users/alice")
    await controller.until(lambda: not controller.volumes)


async def test_a_failed_start_is_explained_to_whoever_waits(hub: Hub, controller: StandIn) -> None:
    controller.hold_at, controller.fail_at = Phase.DISK, Phase.BOOT
    await hub.start_server("/users/alice/server")
    failed = (await hub.events("/users/alice/server", "Its disk is ready", controller.release))[-1]
    assert failed["failed"]
    assert controller.failure.detail in failed["message"]
    assert "Linux version 6.1" in failed["html_message"]
    await controller.until(lambda: not controller.machines)
    assert await hub.server("alice") is None
    # The same person can start again.
    controller.fail_at = None
    await hub.start_server("/users/alice/server")
    assert (await hub.events("/users/alice/server"))[-1]["ready"]


async def test_a_pending_start_can_be_cancelled_and_started_again(hub: Hub, controller: StandIn) -> None:
    controller.hold_at = Phase.BOOT
    await hub.start_server("/users/alice/server")
    await controller.until(lambda: any(one.phase is Phase.BOOT for one in controller.machines.values()))
    answer = await hub.call("DELETE", "/users/alice/server")
    assert answer.status_code in (202, 204)
    await controller.until(lambda: not controller.machines)
    assert await hub.until(lambda: _gone(hub, "alice"))
    controller.hold_at = None
    await hub.start_server("/users/alice/server")
    assert (await hub.events("/users/alice/server"))[-1]["ready"]


async def _gone(hub: Hub, user: str) -> bool:
    return await hub.server(user) is None


async def test_a_running_machine_survives_a_restart_of_the_hub(hub: Hub, controller: StandIn) -> None:
    await hub.start_server("/users/alice/server")
    assert (await hub.events("/users/alice/server"))[-1]["ready"]
    machine = controller.only()
    await hub.stop(signal.SIGKILL)

    # The hub comes back before it can know anything of its machines, and one of the hosts does not answer.
    controller.change(machine.id, power=Power.UNKNOWN)
    controller.requests.clear()
    controller.hold["machines"] = asyncio.Event()
    await hub.start()
    await controller.until(lambda: ("GET", "/machines") in controller.requests)
    assert controller.only().status is Status.RUNNING
    controller.hold["machines"].set()
    await hub.until(lambda: _ready(hub, "alice"))
    assert controller.only().id == machine.id
    assert controller.only().status is Status.RUNNING
    assert not [one for one in controller.requests if one[0] in ("POST", "PUT", "DELETE")]
    assert "appears to have stopped" not in hub.log()
    assert "invalid url" not in hub.log()

    # It notices when the machine ends, without asking.
    controller.change(machine.id, status=Status.STOPPED, power=Power.OFF)
    await hub.until(lambda: _gone(hub, "alice"))
    await controller.until(lambda: not controller.machines)


async def _ready(hub: Hub, user: str) -> bool:
    server = await hub.server(user)
    return bool(server and server["ready"])


@pytest.mark.parametrize("hub", [{"internal_ssl": True}], indirect=True)
async def test_hub_and_machine_know_each_other_by_their_certificates(hub: Hub, controller: StandIn) -> None:
    await hub.start_server("/users/alice/server")
    assert (await hub.events("/users/alice/server"))[-1]["ready"], hub.log()
    server = await hub.server("alice")
    assert server is not None
    assert not list(hub.folder.rglob(f"*{controller.only().id}*"))
    # Nobody without a certificate of the hub's gets there.
    address = f"{controller.only().address}:{hub.settings['spawner']['port']}"  # type: ignore[index]
    async with httpx.AsyncClient(verify=False) as stranger:
        with pytest.raises(httpx.TransportError):
            await stranger.get(f"https://{address}/")


@pytest.mark.parametrize("hub", [{"cmd": ["jupyterhub-singleuser"], "http_timeout": 60}], indirect=True)
async def test_a_real_notebook_server_is_reached_where_the_spawner_says(
    hub: Hub, controller: StandIn
) -> None:
    controller.real_servers = True
    await hub.start_server("/users/alice/server")
    assert (await hub.events("/users/alice/server"))[-1]["ready"], hub.log()
    port = hub.settings["spawner"]["port"]  # type: ignore[index]
    async with httpx.AsyncClient(base_url=f"http://{controller.only().address}:{port}") as client:
        answer = await client.get(
            "/user/alice/api/status", headers={"Authorization": f"token {HUB_TOKEN}"}, timeout=30
        )
    assert answer.status_code == 200, answer.text
    assert "started" in answer.json()


async def test_the_options_page_is_served_filled_by_a_link_and_sent(hub: Hub, controller: StandIn) -> None:
    base = f"http://127.0.0.1:{hub.port}/hub"
    async with httpx.AsyncClient(follow_redirects=True, timeout=30) as person:
        login = await person.get(f"{base}/login")
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', login.text)
        assert xsrf
        await person.post(f"{base}/login", data={"username": "alice", "password": "x", "_xsrf": xsrf[1]})
        page = await person.get(f"{base}/spawn/alice?opt-appliance=cernvm-next&opt-flavor=large")
        assert page.status_code == 200
        assert "spawn-error-msg" not in page.text
        assert re.findall(r'value="([\w-]+)" data-title[^>]*checked', page.text) == ["cernvm-next", "large"]
        assert not controller.machines

        wrong = await person.get(f"{base}/spawn/alice?opt-appliance=gone")
        assert "There is no appliance “gone”" in wrong.text

        form = html.fromstring((await person.get(f"{base}/spawn/alice")).text).get_element_by_id("spawn_form")
        sent = await person.post(
            urljoin(base, form.action),
            files={"appliance": (None, "cernvm"), "flavor": (None, "large")},
            follow_redirects=False,
        )
        assert "/hub/spawn-pending/alice" in sent.headers["Location"]
        await controller.until(
            lambda: any(one.status is Status.RUNNING for one in controller.machines.values())
        )
        assert controller.only().flavor == "large"
        await hub.until(lambda: _ready(hub, "alice"))
        await hub.call("DELETE", "/users/alice/server")
        await controller.until(lambda: not controller.machines)
        await hub.until(lambda: _gone(hub, "alice"))
        again = await person.get(f"{base}/spawn/alice")
        assert re.findall(r'value="([\w-]+)" data-title[^>]*checked', again.text) == ["cernvm", "large"]


async def test_fifty_users_at_once_and_one_who_presses_twenty_times(hub: Hub, controller: StandIn) -> None:
    users = [f"user{number}" for number in range(50)]
    assert (await hub.call("POST", "/users", usernames=[*users, "eager"])).status_code == 201
    pressing = asyncio.gather(
        *(hub.call("POST", f"/users/{user}/server") for user in users),
        *(hub.call("POST", "/users/eager/server") for _ in range(20)),
    )
    while not pressing.done():
        async with asyncio.timeout(60):
            assert (await hub.call("GET", "/")).is_success
        await asyncio.sleep(0.05)
    answers = [answer.status_code for answer in await pressing]
    assert set(answers[:50]) <= {201, 202}
    assert set(answers[50:]) <= {201, 202, 400}, "started, on its way, or running already"
    for user in [*users, "eager"]:
        await hub.until(lambda user=user: _ready(hub, user))
    machines = list(controller.machines.values())
    assert sorted(machine.owner or "" for machine in machines) == sorted([*users, "eager"])
    assert {machine.status for machine in machines} == {Status.RUNNING}


async def test_a_user_created_again_does_not_get_the_old_home_though_the_controller_was_away(
    hub: Hub, controller: StandIn
) -> None:
    name = "ursulä 👩‍🔬 " + "ж" * 180
    path = f"/users/{quote(name)}"
    await hub.call("POST", path)
    assert (await hub.call("POST", f"{path}/server")).status_code in (201, 202)
    assert (await hub.events(f"{path}/server"))[-1]["ready"]
    (home,) = controller.volumes.values()
    assert home.owner == name
    await hub.call("DELETE", f"{path}/server")
    await controller.until(lambda: not controller.machines)
    await hub.until(lambda: _gone(hub, quote(name)))
    await controller.down()
    deleted = await hub.call("DELETE", path)
    assert deleted.status_code == 204, deleted.text
    controller.up()
    await hub.call("POST", path)
    refused = await hub.call("POST", f"{path}/server")
    said = refused.text if refused.status_code >= 400 else (await hub.events(f"{path}/server"))[-1]["message"]
    assert "of another account" in said
    assert controller.volumes[home.id].owner_id == home.owner_id


ALIKE = [
    ("al-ice", ""), ("al.ice", ""), ("al_ice", ""), ("al ice", ""), ("alice", ""), ("al--ice", ""),
    ("alice", "x"), ("alice", "x-y"), ("alice-x", "y"), ("alice-x-y", ""), ("alice--x", ""),
    (unicodedata.normalize("NFC", "ursulä"), ""), (unicodedata.normalize("NFD", "ursulä"), ""),
    ("陳大文", ""), ("محمد", ""), ("ж" * 200, ""), ("ж" * 199 + "з", ""),
]  # fmt: skip
"""Users and servers of which a slug, a title or a file name might not tell one from another."""


async def test_users_and_servers_that_look_alike_each_have_a_machine_of_their_own(
    hub: Hub, controller: StandIn
) -> None:
    paths = [f"/users/{quote(user)}/" + (f"servers/{name}" if name else "server") for user, name in ALIKE]
    for path in paths:
        await hub.start_server(path)
    for path in paths:
        assert (await hub.events(path))[-1]["ready"], (path, hub.log())
    machines = list(controller.machines.values())
    assert sorted((one.owner, one.server_name) for one in machines) == sorted(ALIKE)
    assert len({one.home for one in machines}) == len(ALIKE)
    accounts = {(one.owner, one.owner_id) for one in controller.volumes.values()}
    assert len(accounts) == len({user for user, _name in ALIKE}), (
        "one account each, and the same for all servers"
    )
    for machine in machines:
        (session,) = controller.sessions[machine.id]
        assert session.env["JUPYTERHUB_USER"] == machine.owner
        assert session.env["JUPYTERHUB_SERVER_NAME"] == machine.server_name
    prefixes = {controller.sessions[one.id][0].env["JUPYTERHUB_SERVICE_PREFIX"] for one in machines}
    assert len(prefixes) == len(ALIKE)


async def test_a_renamed_user_is_the_same_account_and_the_next_of_the_old_name_is_another(
    hub: Hub, controller: StandIn
) -> None:
    async def account_of(name: str) -> tuple[str | None, str | None]:
        await hub.start_server(f"/users/{name}/server")
        await hub.until(lambda: _ready(hub, name))
        asked = controller.requested[-1]
        await hub.call("DELETE", f"/users/{name}/server")
        await controller.until(lambda: not controller.machines)
        await hub.until(lambda: _gone(hub, name))
        (home,) = [one for one in controller.volumes.values() if one.owner_id == asked.owner_id]
        return asked.owner_id, home.id

    first, home = await account_of("alice")
    renamed = await hub.call("PATCH", "/users/alice", name="alicia")
    assert renamed.is_success, renamed.text
    # The controller hands the home over to the new name: it goes by the account.
    controller.volumes[home] = replace(controller.volumes[home], owner="alicia")
    assert await account_of("alicia") == (first, home)
    second, other_home = await account_of("alice")
    assert second != first
    assert other_home != home


@pytest.fixture
async def hub_with_culler(
    tmp_path: Path, controller: StandIn, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hub]:
    """A hub with the culler of `jupyterhub_config.py`, its command and its role, but for its patience."""
    monkeypatch.setenv("STATE", str(tmp_path))
    credentials.ensure(Settings.from_environment())
    config = PyFileConfigLoader("jupyterhub_config.py", str(ROOT)).load_config().JupyterHub
    (service,) = [one for one in config.services if one["name"] == "cernvm-culler"]
    patience = {"--timeout=43200": "--timeout=1", "--cull-every=600": "--cull-every=1"}
    assert patience.keys() <= set(service["command"])
    made = Hub(tmp_path, controller, internal_ssl=True)
    made.settings |= {
        "services": [service | {"command": [patience.get(word, word) for word in service["command"]]}],
        "roles": [role for role in config.load_roles if role.get("services") == ["cernvm-culler"]],
    }
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_a_server_that_nobody_uses_is_ended(hub_with_culler: Hub, controller: StandIn) -> None:
    await hub_with_culler.start_server("/users/alice/server")
    await controller.until(lambda: bool(controller.machines))
    assert await hub_with_culler.until(lambda: _gone(hub_with_culler, "alice"))
    await controller.until(lambda: not controller.machines)
    assert "culling server alice" in hub_with_culler.log().lower(), hub_with_culler.log()
