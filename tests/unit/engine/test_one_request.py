"""One id leads through the logs of hub, controller and machine."""

from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace

import pytest
from jupyterhub import orm
from scripted import ALICE, SESSION, eventually
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import HUB_TOKEN, FakeHub
from traitlets.config import Config

from cernvmagent import protocol
from cernvmapi.models import API_PREFIX, Status
from cernvmcontroller.store import Actor
from cernvmcontroller.web.logs import configure
from cernvmcontroller.web.server import Listeners
from cernvmspawner import CernVMSpawner
from cernvmspawner.watcher import close_all


@pytest.fixture(params=[True, False], ids=["json", "text"])
def log(request):
    stream = io.StringIO()
    configure("INFO", as_json=request.param, stream=stream)
    stream.as_json = request.param
    return stream


@pytest.fixture
async def url(lab):
    """The controller on the fake host, served."""
    hub = FakeHub()
    hub.start()
    listeners = Listeners(services_for(lab.engine, hub))
    port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
    yield f"http://127.0.0.1:{port}{API_PREFIX}"
    await close_all()
    await listeners.close()
    await hub.stop()


def spawner_for(url):
    config = Config()
    config.CernVMSpawner.controller_url = url
    config.CernVMSpawner.controller_token = HUB_TOKEN
    server = orm.Server(proto="http", ip="", port=0, base_url="/user/alice/", cookie_name="c")
    return CernVMSpawner(
        config=config,
        user=SimpleNamespace(name="alice", url="/user/alice/", escaped_name="alice", groups=[], admin=False),
        hub=SimpleNamespace(
            public_host="", api_url="http://127.0.0.1:8081/hub/api", base_url="/hub/", url="http://x/hub/"
        ),
        orm_spawner=SimpleNamespace(name="", display_name="", server=server),
        api_token="secret-api-token",
        oauth_client_id="jupyterhub-user-alice",
    )


async def test_a_start_is_followed_from_the_hub_into_the_machine_by_one_id(lab, url, log, caplog):
    spawner = spawner_for(url)
    with caplog.at_level(logging.INFO):
        await spawner.start()
    (said,) = [record for record in caplog.records if "Starting the server of" in record.getMessage()]
    request_id = said.getMessage().rpartition("[request ")[2].rstrip("]")
    assert len(request_id) == 32
    (operation,) = (await lab.engine.operations.page()).items
    assert operation.request_id == request_id

    controller = [line for line in log.getvalue().splitlines() if "alice's server" not in line]
    worked = [line for line in controller if "a machine is moved on" in line]
    asked = [line for line in controller if f"{API_PREFIX}/machines" in line and "POST" in line]
    assert worked
    assert len(asked) == 2  # one that makes it, one that starts it
    for line in worked + asked:
        assert request_id in line
    for line in worked:
        assert operation.id in line
        assert spawner.machine_id in line
        if log.as_json:
            parsed = json.loads(line)
            assert (
                parsed.items()
                >= {
                    "request_id": request_id,
                    "machine": spawner.machine_id,
                    "operation": operation.id,
                }.items()
            )

    (machine,) = (await lab.engine.machines.page()).items
    heard = next(message for message in lab.guest(machine.uuid).heard if message["type"] == "session")
    about = protocol.decode(json.dumps(heard).encode()).about
    assert about == f"request_id={request_id} machine={machine.id} operation={operation.id}"
    audited = (await lab.engine.audit.page(subject=f"machine/{machine.id}")).items
    assert {record.request_id for record in audited} == {request_id}

    await spawner.stop()
    newest = (await lab.engine.operations.page(limit=1)).items
    assert {operation.request_id for operation in newest}.isdisjoint({None, request_id})


async def test_work_that_goes_on_by_itself_is_of_no_request(lab, log):
    begun = Actor("alice", request_id="r-first")
    machine = await lab.create(begun)
    operation = await lab.engine.machines.start(begun, machine.id, SESSION)
    await lab.engine.operations.wait(operation.id, 10)
    log.truncate(0)
    log.seek(0)
    lab.guest(machine.uuid).state = "exited"
    await lab.guest(machine.uuid).exited(3)
    await lab.until(machine.id, Status.FAILED)
    assert machine.id in log.getvalue()
    assert "r-first" not in log.getvalue()


async def test_an_operation_goes_on_under_its_id_after_a_restart(lab, log):
    lab.template = {"slow": True}
    machine = await lab.create()
    operation = await lab.engine.machines.start(Actor("alice", request_id="r-before"), machine.id, SESSION)
    await eventually(lambda: bool(lab.guests) and bool(lab.guest(machine.uuid).session))
    log.truncate(0)
    log.seek(0)
    await lab.restart()
    await lab.engine.machines.put_session(ALICE, machine.id, SESSION)
    await eventually(lambda: lab.guest(machine.uuid).stream is not None)
    await eventually(lambda: "r-before" in log.getvalue())
    assert operation.id in log.getvalue()
