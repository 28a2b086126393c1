"""A real hub as `jupyterhub_config.py` has it, and a controller that asks it who is who."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from certipy import Certipy
from deployment import certificates, component, credentials
from deployment.component import PROXY
from deployment.settings import ROOT, Settings
from jupyterhub.services.auth import HubOAuth
from tests.unit.spawner.controller_standin import StandIn
from tests.unit.spawner.test_in_a_hub import Hub, free_port
from tests.unit.web import proxy
from tests.unit.web.fakehub import HUB_TOKEN
from tests.unit.web.memory import MemoryEngine
from tests.unit.web.memoryrows import machine
from traitlets.config import PyFileConfigLoader

from cernvmapi.models import API_PREFIX
from cernvmcontroller.web.server import Listeners
from cernvmcontroller.web.services import make_services
from cernvmcontroller.web.tls import ensure_certificate, mutual_context
from cernvmspawner.watcher import close_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

SERVICE_TOKEN = "the-controllers-own-token-for-the-hub"


class Site:
    """A real hub whose machines are stood in for, and a controller's web side that asks it who is who."""

    def __init__(self, hub: Hub, machines: StandIn, engine: MemoryEngine, settings: Settings) -> None:
        self.hub, self.machines, self.engine, self.settings = hub, machines, engine, settings
        self.port = free_port()
        self.api_port = free_port()
        """Of the proxy, where there is one."""
        self.url = f"http://127.0.0.1:{self.port}{API_PREFIX}"
        self.listeners: Listeners | None = None

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
        (started,) = [one for one in self.machines.machines.values() if one.owner == user]
        return self.machines.sessions[started.id][-1].env["JUPYTERHUB_API_TOKEN"]

    def listen_for_machines(self, folder: Path) -> int:
        """Open the controller's door for machines, with a certificate of its own; return its port."""
        assert self.listeners is not None
        names = ["127.0.0.1"]
        return self.listeners.listen_with_own_tls(
            [("127.0.0.1", 0)], ensure_certificate(folder, names), names
        )[0]

    def pair(self, name: str) -> certificates.Pair:
        """Return the files of a certificate that the hub's authorities signed (``internal_ssl``)."""
        authority = {"hub-internal": "hub-ca", "proxy-api": "proxy-api-ca", "proxy-client": "proxy-client-ca"}
        folder = self.hub.folder / "internal-ssl"
        trust = folder / f"{authority.get(name, 'notebooks-ca')}_trust.crt"
        return certificates.Pair(folder / name / f"{name}.key", folder / name / f"{name}.crt", trust)


@asynccontextmanager
async def open_site(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    subdomains: bool = False,
    internal_ssl: bool = False,
    with_proxy: bool = False,
    spawner: dict[str, Any] | None = None,
) -> AsyncIterator[Site]:
    """Run a site; what it is asked for goes the way of `deployment`."""
    async with StandIn() as machines:
        hub = Hub(folder, machines, internal_ssl=internal_ssl, **(spawner or {}))
        monkeypatch.setenv("STATE", str(folder / "state"))
        monkeypatch.setenv(
            "SUBDOMAIN_HOST", f"http://hub.localhost:{hub.settings['public_port']}" if subdomains else ""
        )
        settings = Settings.from_environment()
        credentials.ensure(settings)
        engine = MemoryEngine()
        for owner in ("alice", "bob"):
            engine.machines.put(machine(f"m-{owner}", owner))
            engine.volumes.put(f"v-{owner}", owner)
        site = Site(hub, machines, engine, settings)
        _configure(site, with_proxy=with_proxy)
        try:
            await hub.start()
            site.listeners = _listen(site)
            if with_proxy:
                await _has_routes(site)
            yield site
        finally:
            if site.listeners:
                await site.listeners.close()
            await hub.close()
            await close_all()


async def _has_routes(site: Site) -> None:
    """Wait for what the hub tells its proxy after it began to answer: where hub and controller are."""
    tls: ssl.SSLContext | bool = False
    if site.hub.internal_ssl:
        own = site.pair("hub-internal")
        tls = ssl.create_default_context(cafile=str(own.trust))
        tls.load_cert_chain(own.certificate, own.key)
    url = f"{'https' if site.hub.internal_ssl else 'http'}://127.0.0.1:{site.api_port}/api/routes"
    async with asyncio.timeout(60), httpx.AsyncClient(verify=tls, trust_env=False, timeout=30) as http:
        routes: dict[str, Any] = {}
        while len(routes) < 2:
            await asyncio.sleep(0.05)
            routes = (await http.get(url, headers={"Authorization": f"token {proxy.TOKEN}"})).json()


def _configure(site: Site, *, with_proxy: bool) -> None:
    config = PyFileConfigLoader("jupyterhub_config.py", str(ROOT)).load_config()
    roles = [role for role in config.JupyterHub.load_roles if role["name"] in {"user", "cernvm"}]
    (service,) = [one for one in config.JupyterHub.services if one["name"] == "cernvm"]
    scheme = "https" if site.hub.internal_ssl else "http"
    service = {**service, "url": f"{scheme}://127.0.0.1:{site.port}", "api_token": SERVICE_TOKEN}
    site.hub.settings["spawner"]["server_token_scopes"] = list(config.Spawner.server_token_scopes)  # type: ignore[index]
    site.hub.settings |= {
        "services": [service],
        "roles": [
            *roles,
            {"name": "tester", "services": ["test"], "scopes": ["tokens", "groups", "shares"]},
            {"name": "operators", "groups": ["operators"], "scopes": ["custom:cernvm:admin"]},
        ],
        "hub": {
            "custom_scopes": dict(config.JupyterHub.custom_scopes),
            # As in the real configuration: in the authorities' register are paths.
            "internal_certs_location": str(site.hub.folder / "internal-ssl"),
            "subdomain_host": config.JupyterHub.subdomain_host,
        },
    }
    if with_proxy:
        site.hub.settings["proxy"] = {
            "command": list(PROXY),
            "auth_token": proxy.TOKEN,
            "api_url": f"{scheme}://127.0.0.1:{site.api_port}",
        }


def _listen(site: Site) -> Listeners:
    told = component.controller(site.settings).environment
    client = HubOAuth(
        api_url=f"{'https' if site.hub.internal_ssl else 'http'}://127.0.0.1:{site.hub.port}/hub/api",
        api_token=SERVICE_TOKEN,
        base_url=told["JUPYTERHUB_SERVICE_PREFIX"],
        oauth_client_id=told["JUPYTERHUB_CLIENT_ID"],
        hub_host=told["JUPYTERHUB_HOST"],
        oauth_redirect_uri=told["JUPYTERHUB_OAUTH_CALLBACK_URL"],
    )
    context: ssl.SSLContext | None = None
    if site.hub.internal_ssl:
        own = site.pair(certificates.SERVICE)
        Certipy(store_dir=str(site.hub.folder / "internal-ssl")).create_signed_pair(
            certificates.SERVICE, "notebooks-ca", alt_names=["IP:127.0.0.1"]
        )
        client.keyfile, client.certfile, client.client_ca = map(str, (own.key, own.certificate, own.trust))
        context = mutual_context(own.certificate, own.key, own.trust)
    listeners = Listeners(make_services(site.engine, client, HUB_TOKEN, heartbeat=0.1, recheck=0.2))
    listeners.listen_behind_proxy("127.0.0.1", site.port, context)
    return listeners
