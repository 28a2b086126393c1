"""Requests of the wrong shape: the answer says what is wrong, and nothing happens."""

import asyncio
import io
import json

import pytest
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmapi.errors import StoreUnavailable
from cernvmcontroller.web.logs import configure

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b"null", ""),
        (b"\xff\xfe", ""),
        (b'{"vcpus": 0}', "vcpus"),
        (b'{"vcpus": "one"}', "vcpus"),
        (b'{"vcpus": 1e400}', "vcpus"),
        (b'{"surprise": 1}', ""),
        (b'{"labels": {"a": 1}}', "labels[...]"),
        (json.dumps({"labels": {str(n): "" for n in range(33)}}).encode(), "labels"),
        (b'{"name": "two\\nlines"}', "name"),
        (b'{"name": "drow \\u202ereversed"}', "name"),
        (b'{"appliance": "../../etc/passwd"}', "appliance"),
        (b'{"name": "a\\u0000b"}', "name"),
        (b'{"name": "\\ud800"}', ""),
        (b"[" * 100_000, ""),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_body_that_does_not_fit_is_explained(served, content, path):
    async with served.http("alice-write") as http:
        response = await http.post("/machines", content=content, headers=JSON)
    assert response.status_code == 400
    problem = response.json()
    assert problem["code"] == "malformed"
    assert [error["path"] for error in problem["errors"]] in ([], [path])
    assert served.engine.audit.rows == []


async def test_a_body_that_is_not_declared_as_json_is_not_read(served):
    async with served.http("alice-write") as http:
        for headers in (
            {},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        ):
            response = await http.post("/machines", content=b"{}", headers=headers)
            assert response.status_code == 400
            assert "Content-Type" in response.json()["detail"]


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB, 40 * MIB])
@pytest.mark.parametrize("token", [None, "alice-read", "alice-write"])
async def test_a_body_that_is_too_large_is_refused_and_not_kept(served, size, token):
    async def body():
        for _ in range(0, size, MIB):
            yield b" " * MIB
        yield b" "

    async with served.http(token) as http:
        if size < 8 * MIB:
            response = await http.post("/machines", content=b" " * size, headers=JSON)
            assert response.status_code == {None: 401, "alice-read": 403}.get(token, 413)
            streamed = await http.post("/machines", content=body(), headers=JSON)
            assert streamed.status_code == response.status_code
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = f"POST /services/cernvm/api/v1/machines HTTP/1.1\r\nHost: x\r\nContent-Length: {40 * MIB}\r\n\r\n"
    writer.write(head.encode())
    assert b" 401 " in await reader.readline()  # said before any of it is sent
    writer.close()


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=ten", "limit=1001", "limit=1&limit=2", "status=happy", "sort=password", "surprise=1",
     "cursor=no", "search=%00", "owner=%ff", "search=" + "x" * 300],
)  # fmt: skip
async def test_a_parameter_that_does_not_fit_is_explained(served, query):
    async with served.http(HUB_TOKEN) as http:
        response = await http.get(f"/machines?{query}")
    assert response.status_code == 400
    assert response.json()["code"] == "malformed"


async def test_a_list_of_values_is_given_with_commas_or_several_times(served):
    async with served.http(HUB_TOKEN) as http:
        for query, total in (
            ("status=stopped", 2),
            ("status=running", 0),
            ("status=running,stopped", 2),
            ("status=running&status=stopped", 2),
            ("status=", 2),
        ):
            assert (await http.get(f"/machines?{query}")).json()["total"] == total


@pytest.mark.parametrize("bad", ["..", "%2e%2e", "a%2Fb", "%00", "-x", "x" * 200, "ä", "m-alice%0a"])
async def test_what_cannot_be_an_id_never_reaches_the_engine(served, bad, monkeypatch):
    async def get(_id):
        pytest.fail("the engine was asked")

    monkeypatch.setattr(served.engine.machines, "get", get)
    async with served.http("alice-write") as http:
        assert (await http.get(f"/machines/{bad}/console")).status_code in {404, 405}


async def test_unknown_paths_and_verbs_have_the_same_shape_of_error(served):
    async with served.http("alice-write") as http:
        missing = await http.get("/nothing/here")
        assert missing.status_code == 404
        assert missing.headers["Content-Type"] == "application/problem+json"
        assert (await http.get(f"{served.origin}/")).json()["code"] == "not-found"
        wrong = await http.patch("/machines")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, POST")
        assert wrong.json()["code"] == "method-not-allowed"
        assert (await http.request("BREW", "/machines")).status_code == 405
        assert (await http.head("/machines")).status_code == 405


async def test_a_mistake_of_the_controller_tells_nothing_of_its_inside(served, monkeypatch, capsys):
    async def broken(_id):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(served.engine.machines, "get", broken)
    async with served.http("alice-write") as http:
        response = await http.get("/machines/m-alice")
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert response.json()["instance"] == response.headers["X-Request-ID"]


async def test_a_made_machine_says_where_it_is(served):
    async with served.http("alice-write") as http:
        made = await http.post("/machines", json={"name": "ä"})
        there = await http.get(str(made.url.join(made.headers["Location"])))
        assert there.json()["name"] == "ä"
        begun = await http.post(f"/machines/{made.json()['id']}/start")
        operation = await http.get(str(begun.url.join(begun.headers["Location"])))
        assert operation.json()["action"] == "machine.start"


async def test_waiting_for_an_operation_holds_the_answer_back(served):
    async with served.http("alice-read") as http:
        running = (await http.get("/operations/o-1?wait=0.01")).json()
        assert running["status"] == "running"
        waiting = asyncio.create_task(http.get("/operations/o-1?wait=30"))
        await served.engine.operations.finish("o-1")
        assert (await waiting).json()["status"] == "succeeded"


async def test_answers_are_not_kept_and_not_framed(served):
    async with served.http("alice-read") as http:
        headers = (await http.get("/machines")).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers


async def test_the_log_has_who_and_what_and_no_secrets(served):
    stream = io.StringIO()
    configure("DEBUG", stream=stream)
    session = {"env": {"KEY": "very-secret"}}
    async with served.http(HUB_TOKEN) as http:
        await http.put("/machines/m-alice/session", json=session)
        await http.get("/machines?search=private")
    text = stream.getvalue()
    assert "service:jupyterhub" in text
    assert "/machines/m-alice/session" in text
    for secret in ("very-secret", HUB_TOKEN, "private"):
        assert secret not in text
    assert "very-secret" not in json.dumps(list(map(str, served.engine.audit.rows)))


async def test_a_database_that_is_away_is_one_problem_that_says_when_to_try_again(served):
    served.engine.machines.page = _away
    async with served.http(HUB_TOKEN) as http:
        answer = await http.get("/machines")
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "disk is full" in answer.json()["detail"]


async def _away(**_query):
    raise StoreUnavailable("The database has no room left: its disk is full. Make room there.")
