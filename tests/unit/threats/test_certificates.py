"""What a machine's certificate opens, in a hub with `internal_ssl`: nothing that its token does not."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from tests.unit.web import proxy
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmapi.models import API_PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from deployment.certificates import Pair
    from tests.unit.threats.site import Site

WITH_TLS = pytest.mark.parametrize(
    "site", [{"internal_ssl": True, "with_proxy": True}], indirect=True, ids=["internal_ssl"]
)


class Machine:
    """What somebody finds who is root in a machine: its certificate, its token, and where others are."""

    def __init__(self, site: Site, owner: str, token: str, folder: Path) -> None:
        self.site, self.token, self.owner = site, token, owner
        (running,) = [one for one in site.machines.machines.values() if one.owner == owner]
        self.address = running.address or ""
        session = site.machines.sessions[running.id][-1]
        contents = {one.path: one.content for one in session.files}
        self.certificate, self.key = folder / f"{owner}.crt", folder / f"{owner}.key"
        self.certificate.write_text(contents[session.env["JUPYTERHUB_SSL_CERTFILE"]])
        self.key.write_text(contents[session.env["JUPYTERHUB_SSL_KEYFILE"]])

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.site.hub.settings['spawner']['port']}"  # type: ignore[index]

    def context(self) -> ssl.SSLContext:
        """Return a context that shows this machine's certificate and asks nobody for theirs."""
        made = ssl.create_default_context()
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        made.load_cert_chain(self.certificate, self.key)
        return made

    def http(self, token: str = "", scheme: str = "Bearer") -> httpx.AsyncClient:
        headers = {"Authorization": f"{scheme} {token}"} if token else {}
        return httpx.AsyncClient(verify=self.context(), headers=headers, trust_env=False, timeout=20)


def as_the(pair: Pair) -> ssl.SSLContext:
    """Return the context of a component of the hub."""
    made = ssl.create_default_context(cafile=str(pair.trust))
    made.load_cert_chain(pair.certificate, pair.key)
    return made


@pytest.fixture
async def machines(site: Site, tmp_path: Path) -> tuple[Machine, Machine]:
    """Alice's and Bob's, running."""
    folder = tmp_path / "inside"
    folder.mkdir()
    alice, bob = [
        Machine(site, owner, await site.notebook_token(owner), folder) for owner in ("alice", "bob")
    ]
    return alice, bob


@WITH_TLS
async def test_it_gives_no_orders_to_the_proxy(site: Site, machines: tuple[Machine, Machine]) -> None:
    """JupyterHub lets the proxy trust what signs notebooks: it is the proxy's own token that counts."""
    routes = f"https://127.0.0.1:{site.api_port}/api/routes"
    mine = {"target": machines[0].server}
    for token in ("", machines[0].token):
        async with machines[0].http(token, "token") as http:
            assert (await http.get(routes)).status_code == 403
            assert (await http.post(f"{routes}/user/bob", json=mine)).status_code == 403
            assert (await http.delete(f"{routes}/user/bob")).status_code == 403
    async with httpx.AsyncClient(verify=False, trust_env=False) as stranger:
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            await stranger.get(routes, headers={"Authorization": f"token {proxy.TOKEN}"})
    hub = as_the(site.pair("hub-internal"))
    async with httpx.AsyncClient(verify=hub, trust_env=False) as http:
        known = await http.get(routes, headers={"Authorization": f"token {proxy.TOKEN}"})
        assert known.json()["/user/bob"]["target"] == machines[1].server


@WITH_TLS
async def test_at_the_hub_it_is_nobody_and_its_token_decides(
    site: Site, machines: tuple[Machine, Machine]
) -> None:
    hub = f"https://127.0.0.1:{site.hub.port}/hub/api"
    async with machines[0].http() as http:
        for path in ("user", "users", "users/alice", "users/bob", "proxy", "services"):
            assert (await http.get(f"{hub}/{path}")).status_code == 403, path
    async with machines[0].http(machines[0].token) as http:
        assert (await http.get(f"{hub}/user")).json()["name"] == "alice"
        assert (await http.delete(f"{hub}/users/bob/server")).status_code in {403, 404}
        assert (await http.get(f"{hub}/users/bob")).status_code in {403, 404}
        assert (await http.post(f"{hub}/shutdown")).status_code == 403
    async with machines[0].http(machines[1].token) as http:
        # A token goes with whoever has it: it is not in reach of another machine.
        assert (await http.get(f"{hub}/user")).json()["name"] == "bob"


@WITH_TLS
async def test_at_the_controllers_door_for_the_proxy_it_is_refused(
    site: Site, machines: tuple[Machine, Machine]
) -> None:
    door = f"https://127.0.0.1:{site.port}{API_PREFIX}"
    for token in (machines[0].token, HUB_TOKEN):
        async with machines[0].http(token) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"{door}/machines", headers={"X-Forwarded-For": "127.0.0.1"})
    client = as_the(site.pair("proxy-client"))
    async with httpx.AsyncClient(verify=client, trust_env=False) as http:
        assert (await http.get(f"{door}/machines")).status_code == 401, "the proxy is nobody by itself"


@WITH_TLS
async def test_at_the_controllers_door_for_machines_it_says_nothing_and_its_token_decides(
    site: Site, machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    port = site.listen_for_machines(tmp_path / "own")
    door = f"https://127.0.0.1:{port}{API_PREFIX}"
    async with machines[0].http() as http:
        assert (await http.get(f"{door}/machines")).status_code == 401
    async with machines[0].http(machines[0].token) as http:
        listed = (await http.get(f"{door}/machines")).json()["items"]
        assert {one["owner"] for one in listed} == {"alice"}
        assert (await http.post(f"{door}/machines/m-bob/poweroff")).status_code == 404


@WITH_TLS
async def test_it_does_not_open_another_machine(machines: tuple[Machine, Machine]) -> None:
    async with machines[0].http(machines[0].token) as http:
        for machine in machines:
            with pytest.raises(httpx.TransportError):
                await http.get(f"{machine.server}/user/{machine.owner}/api/status")


@WITH_TLS
async def test_it_does_not_pass_for_another_machine(site: Site, machines: tuple[Machine, Machine]) -> None:
    """The proxy connects by address: who answers at Bob's with Alice's certificate gets no request of his."""
    alice, bob = machines
    port = int(alice.server.rpartition(":")[2])
    for name, good in ((alice.address, True), (bob.address, False)):
        opening = asyncio.open_connection(
            alice.address, port, ssl=as_the(site.pair("proxy-client")), server_hostname=name
        )
        if good:
            _reader, writer = await opening
            writer.close()
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
                await opening


@pytest.mark.parametrize(
    "site",
    [{"internal_ssl": True, "with_proxy": True, "subdomains": True}],
    indirect=True,
    ids=["subdomains"],
)
async def test_the_proxy_reaches_every_host_below_a_domain(site: Site) -> None:
    await site.notebook_token("alice")
    proxy_url = f"http://127.0.0.1:{site.hub.settings['public_port']}"
    hub = urlsplit(site.settings.url).netloc
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        for host, path in (
            (hub, "/hub/login"),
            (urlsplit(site.settings.service_host).netloc, f"{API_PREFIX}/health"),
            (f"alice.{hub}", "/user/alice/api"),
        ):
            answer = await http.get(f"{proxy_url}{path}", headers={"Host": host})
            assert answer.status_code == 200, (host, answer.text)


@WITH_TLS
async def test_the_proxy_is_reached_by_whatever_name_a_site_gives_it(
    site: Site, machines: tuple[Machine, Machine]
) -> None:
    proxy_url = f"http://127.0.0.1:{site.hub.settings['public_port']}"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        for path in ("/hub/login", f"{API_PREFIX}/health", "/user/alice/api"):
            for name in ("hub.example.org", "localhost"):
                answer = await http.get(f"{proxy_url}{path}", headers={"Host": name})
                assert answer.status_code == 200, (name, path, answer.text)


@asynccontextmanager
async def relayed(site: Site, path: str, target: str, host: str, address: str) -> AsyncIterator[None]:
    """Let the proxy send `path` to `host`, where at `address` somebody stands who has the key of `target`."""
    there = urlsplit(target)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(there.hostname, there.port)
        await asyncio.gather(pump(reader, requests), pump(answers, writer), return_exceptions=True)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    elsewhere = await asyncio.start_server(relay, address, 0)
    async with (
        elsewhere,
        httpx.AsyncClient(verify=as_the(site.pair("hub-internal")), trust_env=False) as http,
    ):
        made = await http.post(
            f"https://127.0.0.1:{site.api_port}/api/routes{path}",
            json={"target": f"https://{host}:{elsewhere.sockets[0].getsockname()[1]}"},
            headers={"Authorization": f"token {proxy.TOKEN}"},
        )
        assert made.status_code == 201, made.text
        yield


async def through_the_proxy(site: Site, path: str, name: str) -> httpx.Response:
    proxy_url = f"http://127.0.0.1:{site.hub.settings['public_port']}"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        return await http.get(f"{proxy_url}{path}", headers={"Host": name})


@WITH_TLS
@pytest.mark.parametrize(
    ("host", "address"),
    [("127.99.0.1", "127.99.0.1"), ("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1")],
    ids=["another address", "the loopback address", "a name"],
)
async def test_whatever_name_is_asked_for_a_machine_passes_for_nobody_at_the_proxy(
    site: Site, machines: tuple[Machine, Machine], host: str, address: str
) -> None:
    """Somebody with an account beside the hub and the key of their machine listens while another restarts."""
    alice, _bob = machines
    async with relayed(site, "/user/mallory", alice.server, host, address):
        for name in ("localhost", "hub.example.org", "127.0.0.1", alice.address):
            answer = await through_the_proxy(site, "/user/mallory/api", name)
            assert answer.status_code == 503, (name, answer.text)


@WITH_TLS
async def test_the_proxy_checks_a_target_that_has_a_name_by_that_name(
    site: Site, machines: tuple[Machine, Machine]
) -> None:
    """The hub's certificate names ``localhost``, and not what a browser asked for."""
    hub = f"https://127.0.0.1:{site.hub.port}"
    async with relayed(site, "/hub/by-name", hub, "localhost", "127.0.0.1"):
        for name in ("localhost", "hub.example.org"):
            answer = await through_the_proxy(site, "/hub/by-name", name)
            assert answer.status_code != 503, (name, answer.text)
