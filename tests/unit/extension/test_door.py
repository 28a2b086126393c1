import asyncio
import json

import httpx
import pytest
from jupyter_server.auth import User
from tests.unit.extension.conftest import TOKEN, Somebody
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cernvmapi.errors import NotFound
from cernvmapi.models import API_PREFIX, encode
from cernvmextension import handlers

MACHINES = "cernvm/api/v1/machines"
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


@pytest.mark.parametrize("path", [MACHINES, HEALTH, "cernvm/views/page.js", "cernvm/api/v1/events"])
def test_a_visitor_of_a_shared_server_is_refused(get, controller, visitor, path):
    answer = get(path)
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert controller.requests == []


@pytest.mark.parametrize("path", [MACHINES, HEALTH, "cernvm/views/page.js", "cernvm/api/v1/events"])
def test_who_is_not_logged_in_is_refused(get, controller, path):
    answer = get(path, headers={"Authorization": "token nonsense"})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert controller.requests == []


@pytest.mark.parametrize(
    "query",
    [{"search": "x" * (handlers.LONGEST + 1)}, {f"p{number}": "1" for number in range(17)}],
    ids=["long", "many"],
)
def test_a_request_that_is_too_large_is_refused_here(get, controller, query):
    answer = get(MACHINES, **query)
    assert (answer.status, answer.body["code"]) == (400, "malformed")
    assert controller.requests == []


def test_a_body_that_is_too_large_is_refused_here(ask, controller):
    answer = ask("POST", MACHINES, body=b"x" * (handlers.LARGEST_BODY + 1))
    assert (answer.status, answer.body["code"]) == (413, "too-large")
    assert controller.requests == []


def test_an_answer_that_is_too_large_is_not_kept(get, controller, monkeypatch):
    monkeypatch.setattr("cernvmextension.controller.LARGEST_ANSWER", 10)
    controller.body = b'"' + b"x" * 10 + b'"'
    assert get(MACHINES).status == 413


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_acts_goes_through_with_its_body(ask, controller, method):
    answer = ask(method, f"{MACHINES}/m-1/start", {"Content-Type": "application/json"}, b'{"a": 1}')
    (request,) = controller.requests
    assert answer.status == 200
    assert (request.method, request.path) == (method, f"{API_PREFIX}/machines/m-1/start")
    assert (request.body, request.headers["Content-Type"]) == (b'{"a": 1}', "application/json")


@pytest.mark.parametrize(
    "path",
    [
        "machines/m-1/session",
        "metrics",
        "openapi.json",
        "machines/../metrics",
        "machines//x",
        "nothing",
        "%2e%2e/x",
    ],
)
def test_what_the_views_have_no_business_with_is_not_forwarded(ask, controller, path):
    assert ask("PUT", f"cernvm/api/v1/{path}", body=b"{}").status == 404
    assert controller.requests == []


def test_a_page_of_another_site_cannot_act_with_the_owners_cookie(ask, controller, jp_serverapp, monkeypatch):
    async def get_user(self, handler):
        return User(username="alice")  # as a cookie says it: without a token in the request

    monkeypatch.setattr(Somebody, "get_user", get_user)
    monkeypatch.setattr(Somebody, "is_token_authenticated", lambda self, handler: False)
    answer = ask("POST", f"{MACHINES}/m-1/start", {"Authorization": ""}, b"{}")
    assert (answer.status, controller.requests) == (403, [])


@pytest.mark.parametrize(("method", "action"), [("GET", "read"), ("POST", "write"), ("DELETE", "write")])
def test_the_servers_authoriser_is_asked_for_what_is_done(  # noqa: PLR0917 - fixtures
    ask, controller, jp_serverapp, monkeypatch, method, action
):
    asked = []

    def refuse(_self, _handler, _user, action, resource):
        asked.append((action, resource))
        return False

    monkeypatch.setattr(type(jp_serverapp.authorizer), "is_authorized", refuse)
    assert ask(method, f"{MACHINES}/m-1", body=None if method == "GET" else b"").status == 403
    assert asked == [(action, "cernvm:api")]
    assert controller.requests == []


def test_events_arrive_one_by_one_and_are_ended_with_their_listener(  # noqa: PLR0917 - fixtures
    controller, jp_asyncio_loop, jp_serverapp, jp_base_url, http_server_client, jp_auth_header
):
    async def follow():
        url = http_server_client.get_url(f"{jp_base_url}cernvm/api/v1/events")
        headers = {**jp_auth_header, "Last-Event-ID": "6"}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=20) as http,
            http.stream("GET", url, headers=headers) as response,
        ):
            chunks = response.aiter_raw()
            first = await anext(chunks)
            controller.seen.set()  # only now does the controller send the next
            second = await anext(chunks)
        await asyncio.wait_for(controller.left.wait(), 10)
        return response.headers, first, second

    (door,) = jp_serverapp.extension_manager.extension_apps["cernvmextension"]
    headers, first, second = jp_asyncio_loop.run_until_complete(follow())
    assert headers["Content-Type"] == "text/event-stream"
    assert (first, second) == (b"id: 7\n\n", b"id: 8\ndata: {}\n\n")
    (request,) = controller.requests
    assert request.headers["Last-Event-ID"] == "6"
    jp_asyncio_loop.run_until_complete(door.stop_extension())
    assert door.streams == 0


def test_no_more_pages_follow_than_the_server_can_bear(get, controller, jp_serverapp):
    (door,) = jp_serverapp.extension_manager.extension_apps["cernvmextension"]
    door.streams = handlers.MOST_STREAMS
    assert get("cernvm/api/v1/events").status == 503
    assert controller.requests == []


def test_the_views_are_served_once_for_all_notebooks(ask, controller, monkeypatch, tmp_path):
    (tmp_path / "page.js").write_text('"built"')
    monkeypatch.setattr("cernvmviews.FOLDER", tmp_path)
    view = ask("GET", "cernvm/views/page.js")
    assert (view.status, view.body) == (200, "built")
    assert view.headers["Content-Type"].startswith("text/javascript")
    etag = view.headers["Etag"]
    assert ask("GET", "cernvm/views/page.js", {"If-None-Match": etag}).status == 304
    assert ask("GET", "cernvm/views/other.js").status == 404


def test_a_checkout_without_views_says_how_to_build_them(get, monkeypatch, tmp_path):
    monkeypatch.setattr("cernvmviews.FOLDER", tmp_path / "none")
    answer = get("cernvm/views/page.js")
    assert answer.status == 404
    assert "deployment.interface build" in answer.body["detail"]


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


# --- consoles ---


@pytest.fixture
def console(jp_asyncio_loop, jp_serverapp, jp_http_port, jp_auth_header, http_server):
    """Return a coroutine function that opens a console through the door."""

    async def opened(path="machines/m-1/console/socket", **headers):
        url = f"ws://localhost:{jp_http_port}{jp_serverapp.base_url}cernvm/api/v1/{path}"
        return await connect(
            url,
            subprotocols=["cernvm.console.v1", "ticket.t1"],
            additional_headers={**jp_auth_header, **headers},
            proxy=None,
        )

    yield lambda *path, **headers: jp_asyncio_loop.run_until_complete(opened(*path, **headers))
    for app in jp_serverapp.extension_manager.extension_apps["cernvmextension"]:
        jp_asyncio_loop.run_until_complete(app.stop_extension())


def test_a_console_is_forwarded_both_ways_with_the_owners_token(console, controller, jp_asyncio_loop):
    socket = console()

    async def talk():
        assert socket.subprotocol == "cernvm.console.v1"
        assert await socket.recv() == '{"stream": "c-1"}'
        await socket.send(b"root")
        assert await socket.recv() == b"heard root"
        await socket.send(b"end")
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    jp_asyncio_loop.run_until_complete(talk())
    assert (socket.close_code, socket.close_reason) == (4000, "It went off.")
    (asked,) = controller.requests
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "ticket.t1" in asked.headers["Sec-WebSocket-Protocol"]


def test_a_page_of_another_site_gets_no_console(console, controller, monkeypatch):
    # As a browser comes, with a cookie: a token in a header is no page's.
    monkeypatch.setattr(Somebody, "is_token_authenticated", lambda *_: False)
    with pytest.raises(InvalidStatus):
        console(Origin="https://evil.example")
    assert controller.requests == []


def test_a_visitor_gets_no_console(console, controller, visitor):
    with pytest.raises(InvalidStatus) as refused:
        console()
    assert refused.value.response.status_code == 403
    assert controller.requests == []


def test_what_the_controller_refuses_is_an_answer(console, controller):
    controller.status = 403
    with pytest.raises(InvalidStatus) as refused:
        console()
    assert refused.value.response.status_code in {403, 502}
