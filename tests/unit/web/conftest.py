"""A controller, served for real on loopback, before an engine in memory and beside a hub."""

import httpx
import pytest
from jupyterhub.services.auth import HubOAuth
from tests.unit.web.fakehub import HUB_TOKEN, FakeHub
from tests.unit.web.memory import MemoryEngine
from tests.unit.web.memoryrows import machine

from cernvmapi.models import API_PREFIX
from cernvmcontroller.web.server import Listeners
from cernvmcontroller.web.services import make_services


class Served:
    """A controller under test."""

    def __init__(self, engine, hub, services, listeners, port):
        self.engine, self.hub, self.services, self.listeners = engine, hub, services, listeners
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.url = self.origin + API_PREFIX

    def http(self, token=None, **more):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=20, **more)


@pytest.fixture
async def hub():
    hub = FakeHub()
    hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
def engine():
    engine = MemoryEngine()
    engine.machines.put(machine("m-alice", "alice"))
    engine.machines.put(machine("m-bob", "bob"))
    engine.volumes.put("v-alice", "alice")
    engine.volumes.put("v-bob", "bob")
    engine.operations.begin("machine.start", "machine/m-alice", "alice", "alice")
    engine.operations.begin("machine.start", "machine/m-bob", "bob", "bob")
    return engine


def services_for(engine, hub, **more):
    client = HubOAuth(
        api_url=hub.api_url,
        api_token="service-token",
        base_url="/services/cernvm/",
        oauth_client_id="service-cernvm",
    )
    return make_services(engine, client, HUB_TOKEN, **more)


@pytest.fixture
async def served(engine, hub):
    services = services_for(engine, hub, heartbeat=0.05, recheck=0.1)
    listeners = Listeners(services)
    port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
    yield Served(engine, hub, services, listeners, port)
    await listeners.close()
    await engine.screens.consoles.close()
