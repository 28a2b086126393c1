"""Clients that mean harm: slow ones, many at once, requests that two programs would read differently."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmapi.models import API_PREFIX
from cernvmcontroller.web import server
from cernvmcontroller.web.server import Listeners
from cernvmcontroller.web.tls import ensure_certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON = 10
"""Seconds; far more than any time-out of these tests."""
POST = f"POST {API_PREFIX}/machines HTTP/1.1\r\nHost: x\r\n"
WHO = "Authorization: Bearer alice-write\r\n"


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def answers(port: int, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the connection ends or falls silent."""
    reader, writer = await connect(port)
    writer.write(request)
    heard = b""
    try:
        async with asyncio.timeout(SOON):
            while part := await reader.read(65536):
                heard += part
    except ConnectionError:
        pass
    finally:
        writer.close()
    return heard


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: x", "Connection: close", *headers, "", ""]).encode()


@pytest.fixture
async def impatient(engine, hub, tmp_path) -> AsyncIterator[tuple[int, int]]:
    """Both listeners, with hardly any patience: the proxy's port and the machines'."""
    services = services_for(engine, hub)
    listeners = Listeners(services, header_timeout=0.3, proxy_timeout=0.3, body_timeout=0.3)
    proxied = listeners.listen_behind_proxy("127.0.0.1", 0, None)
    files = ensure_certificate(tmp_path, ["127.0.0.1"])
    (own,) = listeners.listen_with_own_tls([("127.0.0.1", 0)], files, ["127.0.0.1"])
    yield proxied, own
    assert not services.open_requests
    await listeners.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:",
        f"{POST}{WHO}Content-Length: 90\r\n\r\n{{".encode(),
        f"{POST}{WHO}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode(),
    ],
    ids=["nothing", "a letter", "half a header", "half a body", "chunks without end"],
)
async def test_who_does_not_go_on_is_hung_up_on(impatient, engine, sent):
    reader, writer = await connect(impatient[0])
    writer.write(sent)
    async with asyncio.timeout(SOON):
        assert b"HTTP/1.1 2" not in await reader.read()
    writer.close()
    assert engine.audit.rows == []


async def test_a_tls_handshake_that_does_not_go_on_is_hung_up_on(impatient):
    reader, writer = await connect(impatient[1])
    writer.write(b"\x16\x03\x01")
    async with asyncio.timeout(SOON):
        await reader.read()
    writer.close()


async def test_one_address_cannot_take_the_places_of_all(served, monkeypatch):
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    taken = [await connect(served.port) for _ in range(5)]
    async with served.http() as http:
        assert (await http.get("/health")).status_code == 200, "this machine itself is not limited"
    for _, writer in taken:
        writer.close()

    class Elsewhere:
        is_loopback = False

    monkeypatch.setattr(server, "ip_address", lambda _address: Elsewhere)
    (bounded,) = served.listeners._servers
    async with asyncio.timeout(SOON):
        while bounded._open:  # noqa: ASYNC110 - the end of a socket is nobody's event
            await asyncio.sleep(0.01)
    taken = [await connect(served.port) for _ in range(3)]
    reader, writer = await connect(served.port)
    async with asyncio.timeout(SOON):
        assert await reader.read() == b"", "one too many"
    for _, each in [*taken, (reader, writer)]:
        each.close()
    async with asyncio.timeout(SOON):
        while bounded._open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with served.http() as http:
        assert (await http.get("/health")).status_code == 200, "who leaves makes room"


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 5"),
        ("Content-Length: +2",),
        ("Content-Length: 2, 5",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: 2", " Transfer-Encoding: chunked"),
    ],
    ids=str,
)
async def test_a_request_that_two_programs_would_read_differently_is_refused(served, headers):
    hidden = head(f"DELETE {API_PREFIX}/machines/m-alice HTTP/1.1", WHO.strip())
    start = f"POST {API_PREFIX}/machines HTTP/1.1"
    first = head(start, WHO.strip(), "Content-Type: application/json", *headers)
    heard = await answers(served.port, first + b"0\r\n\r\n" + hidden)
    assert heard.count(b"HTTP/1.1 ") <= 1
    assert b"HTTP/1.1 2" not in heard
    assert "m-alice" in served.engine.machines.rows


@pytest.mark.parametrize(
    "path",
    [
        "/services/cernvm/api/v1/machines/..%2fm-alice", "//services/cernvm/api/v1/machines",
        "/services/cernvm/api/v1/machines/./m-alice", "/services/cernvm/api/v1/health/../machines",
        "/services/cernvm/api/v1/machines/%6d-alice%00", "/services/cernvm/api/v1/machines;x=1",
        "/services/cernvm/api/v1/health%2f..%2fmachines", "/services/cernvm/api/v1/machines/m-alice/",
        "/SERVICES/cernvm/api/v1/machines", "\\services\\cernvm",
    ],
)  # fmt: skip
async def test_tricks_with_paths_lead_nowhere(served, path):
    heard = await answers(served.port, head(f"GET {path} HTTP/1.1", WHO.strip()))
    assert heard.startswith(b"HTTP/1.1 40")
    assert b'"owner"' not in heard


async def test_an_encoded_id_is_no_id(served):
    for token in ("bob-write", "alice-write"):
        async with served.http(token) as http:
            assert (await http.get("/machines/%6d-alice")).status_code == 404


async def test_a_bomb_of_headers_is_not_read(served):
    many = [f"X-{number}: {'x' * 60}" for number in range(2000)]
    assert b"HTTP/1.1 2" not in await answers(served.port, head("GET / HTTP/1.1", *many))
    long = f"Authorization: Bearer {'x' * 60_000}"
    heard = await answers(served.port, head(f"GET {API_PREFIX}/machines HTTP/1.1", long))
    assert heard.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("token", ["alice-write", HUB_TOKEN, None])
async def test_a_websocket_is_not_made_of_a_plain_route(served, token):
    upgrade = [
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
    ]
    who = [f"Authorization: Bearer {token}"] if token else []
    for path in ("machines", "machines?token=alice-write", "health"):
        line = f"GET {API_PREFIX}/{path} HTTP/1.1"
        request = head(line, "Sec-Fetch-Mode: websocket", *upgrade, *who)
        heard = await answers(served.port, request)
        assert not heard.startswith(b"HTTP/1.1 101")
        if "token=" in path:
            assert b'"owner"' not in heard


async def test_numbers_keys_and_depth_of_json_widen_nothing(served):
    bodies = [
        b'{"owner": "alice", "owner": "bob"}',
        b'{"vcpus": %s}' % (b"9" * 5000),
        b'{"name": %s}' % (b"[" * 50_000),
        b'{"labels": %s"a"%s}' % (b'{"k":' * 20_000, b"}" * 20_000),
        b'{"name": "\\u0000"}',
        b'\xef\xbb\xbf{"name": "x"}',
    ]
    before = dict(served.engine.machines.rows)
    async with served.http("alice-write") as http:
        for body in bodies:
            answer = await http.post("/machines", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in {400, 403}, body[:40]
    assert served.engine.machines.rows == before


@pytest.mark.parametrize(
    "wrong", ["text/json", "application/json+x", "application/xml", "multipart/form-data", ""]
)
async def test_a_body_of_another_kind_is_not_guessed_at(served, wrong):
    async with served.http("alice-write") as http:
        answer = await http.post("/machines", content=b'{"name": "x"}', headers={"Content-Type": wrong})
    assert answer.status_code == 400


async def test_no_page_of_another_origin_may_read(served):
    async with served.http("alice-read") as http:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        for answer in (
            await http.get("/machines", headers=asked),
            await http.options("/machines", headers=asked),
        ):
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
