import json

import pytest
from jupyter_server.auth import User
from tests.unit.extension.conftest import Somebody
from tornado.web import RequestHandler

from cernvmapi.errors import NotFound
from cernvmapi.models import API_PREFIX, encode
from cernvmextension.handlers import DoorHandler, HealthHandler, MachinesHandler

MACHINES = "cernvm/api/machines"
HEALTH = "cernvm/health"


def test_the_owner_sees_what_the_controller_says(get, controller):
    answer = get(MACHINES)
    assert (answer.status, answer.body["items"], answer.body["total"]) == (200, [], 0)
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_controller_is_asked_with_the_owners_token_and_never_in_the_url(get, controller):
    get(MACHINES)
    (request,) = controller.requests
    assert request.headers["Authorization"].split()[1] == "the-owners-token"
    assert "the-owners-token" not in request.uri
    assert request.path == f"{API_PREFIX}/machines"


def test_filters_and_pages_go_through(get, controller):
    get(MACHINES, status="running", limit="5", cursor="abc")
    (request,) = controller.requests
    assert request.query_arguments == {"status": [b"running"], "limit": [b"5"], "cursor": [b"abc"]}


def test_the_health_of_the_controller_is_seen(get):
    assert get(HEALTH).body["status"] == "ok"


@pytest.mark.parametrize("path", [MACHINES, HEALTH])
def test_a_visitor_of_a_shared_server_is_refused(get, controller, visitor, path):
    answer = get(path)
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert controller.requests == []


@pytest.mark.parametrize("path", [MACHINES, HEALTH])
def test_who_is_not_logged_in_is_refused(get, controller, path):
    answer = get(path, headers={"Authorization": "token nonsense"})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert controller.requests == []


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "100000"}, {"limit": "many"}, {"nonsense": "1"}, {"search": "x" * 256}],
)
def test_a_request_that_is_not_understood_or_too_large_is_refused_here(get, controller, query):
    answer = get(MACHINES, **query)
    assert (answer.status, answer.body["code"]) == (400, "malformed")
    assert controller.requests == []


def test_what_the_controller_refuses_is_refused_in_its_words(get, controller):
    controller.status, controller.body = 404, encode(NotFound("There is no such host.").problem())
    answer = get(MACHINES, host="nowhere")
    assert (answer.status, answer.body["code"], answer.body["detail"]) == (
        404,
        "not-found",
        "There is no such host.",
    )


def test_a_controller_that_does_not_answer_is_said_so(get, controller, jp_serverapp):
    (extension,) = jp_serverapp.extension_manager.extension_apps["cernvmextension"]
    extension.controller_url = f"http://127.0.0.1:1{API_PREFIX}"
    answer = get(MACHINES)
    assert (answer.status, answer.body["code"]) == (503, "controller-unreachable")


def test_a_server_without_a_controller_says_what_to_set(get, jp_serverapp):
    (extension,) = jp_serverapp.extension_manager.extension_apps["cernvmextension"]
    extension.controller_url = ""
    assert "CERNVM_API_URL" in get(HEALTH).body["detail"]


def test_watching_ones_machines_does_not_keep_an_idle_server_alive(get, jp_serverapp):
    before = jp_serverapp.web_app.last_activity()
    get(MACHINES)
    assert jp_serverapp.web_app.last_activity() == before


@pytest.mark.parametrize("handler", [MachinesHandler, HealthHandler])
def test_only_reading_is_possible(handler):
    for verb in ("post", "put", "patch", "delete"):
        assert getattr(handler, verb) is getattr(RequestHandler, verb)
    assert issubclass(handler, DoorHandler)


def test_the_distribution_switches_the_extension_on(pytestconfig):
    entry = json.loads((pytestconfig.rootpath / "extension/etc/cernvmextension.json").read_text())
    assert entry["ServerApp"]["jpserver_extensions"] == {"cernvmextension": True}


def test_a_service_that_is_called_as_the_owner_is_not_the_owner(get, controller, monkeypatch):
    async def get_user(self, handler):
        user = User(username="alice")
        user.hub_user = {"name": "alice", "kind": "service"}
        return user

    monkeypatch.setattr(Somebody, "get_user", get_user)
    assert get(MACHINES).status == 403
    assert controller.requests == []
