"""Odd requests through the real proxy: both read the same of them, and nobody becomes somebody else."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.unit.web.proxy import ProxyProcess

from cernvmapi.models import API_PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.web.conftest import Served

SOON = 20
"""Seconds; an answer takes some milliseconds."""
ALICE, BOB = "Authorization: Bearer alice-write", "Authorization: Bearer bob-write"
JSON = "Content-Type: application/json"


@pytest.fixture
async def proxy(served: Served, tmp_path: Path) -> AsyncIterator[ProxyProcess]:
    """The proxy, with the way to the controller; everything else goes to the hub."""
    async with ProxyProcess(served.hub.api_url.removesuffix("/hub/api"), tmp_path / "proxy.log") as proxy:
        await proxy.route("/services/cernvm", served.origin)
        yield proxy


def raw(line: str, *headers: str, end: str = "\r\n", host: str = "Host: hub.example") -> bytes:
    return end.join([f"{line} HTTP/1.1", host, *headers, "", ""]).encode("latin-1")


async def says(port: int, request: bytes) -> bytes:
    """Return all that comes back for bytes until the connection ends; fail where it does not end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
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


async def everybody_gets_their_own(proxy: ProxyProcess) -> None:
    """Ask as two people by turns, over connections that the proxy may have kept."""
    async with httpx.AsyncClient(base_url=proxy.origin + API_PREFIX, trust_env=False, timeout=SOON) as http:
        for name in ("alice", "bob") * 5:
            answer = await http.get("/machines", headers={"Authorization": f"Bearer {name}-write"})
            assert answer.status_code == 200, answer.text
            assert {machine["owner"] for machine in answer.json()["items"]} == {name}


DELETE_BOBS = raw(f"DELETE {API_PREFIX}/machines/m-bob", BOB)
SWALLOWS = raw(f"POST {API_PREFIX}/machines", BOB, JSON, "Content-Length: 600") + b'{"name": "'
"""The beginning of a request whose body would be the next one's headers, with their token."""


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 0"),
        ("Content-Length: 5, 5",),
        ("Content-Length: +5",),
        ("Content-Length: 0x5",),
        ("Transfer-Encoding: identity, chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding:\x0bchunked",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: 5", " Transfer-Encoding: chunked"),
        ("Content-Length: 5\nTransfer-Encoding: chunked",),
        ("Content-Length: 5\rTransfer-Encoding: chunked",),
        ("X: y\r\n\r", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ],
    ids=repr,
)
async def test_no_request_is_hidden_in_another(
    served: Served, proxy: ProxyProcess, headers: tuple[str]
) -> None:
    for hidden in (DELETE_BOBS, SWALLOWS):
        first = raw(f"POST {API_PREFIX}/machines", BOB, JSON, "Connection: close", *headers)
        heard = await says(proxy.port, first + b"0\r\n\r\n" + hidden)
        assert heard.count(b"HTTP/1.1 ") <= 1, heard
        assert b"HTTP/1.1 2" not in heard
        await everybody_gets_their_own(proxy)
    assert set(served.engine.machines.rows) == {"m-alice", "m-bob"}
    assert served.engine.audit.rows == []


@pytest.mark.parametrize(
    "request_",
    [
        raw(f"GET {API_PREFIX}/machines", "Connection: close", end="\n"),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", "X: a\nAuthorization: Bearer alice-write"),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", "X: a\rAuthorization: Bearer alice-write"),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", "X: a\0b"),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", "X", ALICE),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", "Authorization : Bearer alice-write"),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", f"X: {'x' * 100_000}", ALICE),
        raw(f"GET {API_PREFIX}/machines", "Connection: close", *(f"X-{n}: x" for n in range(5000)), ALICE),
        raw(f"GET /{'x' * 100_000}", "Connection: close", ALICE),
        raw(f"GET {API_PREFIX}/machines HTTP/1.1\r\nX: y", "Connection: close"),
        raw("CONNECT 127.0.0.1:22", "Connection: close", ALICE),
        raw(f"TRACE {API_PREFIX}/machines", "Connection: close", ALICE),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    ],
    ids=[
        "bare LF", "LF in a header", "CR in a header", "NUL", "no colon", "space before the colon",
        "long header", "many headers", "long path", "two lines", "CONNECT", "TRACE", "HTTP/2", "TLS",
    ],
)  # fmt: skip
async def test_what_is_no_request_gets_nothing_and_does_not_hang(
    proxy: ProxyProcess, request_: bytes
) -> None:
    heard = await says(proxy.port, request_)
    assert b"HTTP/1.1 2" not in heard
    assert b'"owner"' not in heard
    await everybody_gets_their_own(proxy)


SPELLINGS = (
    "/services/cernvm/..%2f..%2fhub/api/user", "/services/cernvm/%2e%2e/%2e%2e/hub/api/user",
    "/services/cernvm/..;/api/v1/machines", "//services/cernvm/api/v1/machines",
    "/services//cernvm/api/v1/machines", "/services%2fcernvm%2fapi%2fv1%2fmachines",
    "/services/cernvm/api/v1/machines/..%2fmachines", "/services/cernvm/api/v1/health/../machines",
    "/services/cernvm/api/v1/machines/m-bob%2f..%2fm-alice", "/services/cernvm%00/api/v1/machines",
    "/services/cernvm/api/v1/machines%3fowner=alice", "/services/cernvm\\..\\api\\v1\\machines",
    "/services/cernvmx/api/v1/machines", "/user/../services/cernvm/api/v1/machines",
    "/services/cernvm/api/v1/machines#/../m-alice", "/services/cernvm/api/v1/machines/m-bob/../m-alice",
    "/services/cernvm/api/v1/health/../hosts", "/services/cernvm/api/v1/health?/../../hosts",
)  # fmt: skip


async def test_no_spelling_of_a_path_leads_round_the_rights(served: Served, proxy: ProxyProcess) -> None:
    """The proxy may read a path differently; who asks, and what they may, is the same at its end."""
    for path in SPELLINGS:
        heard = await says(proxy.port, raw(f"GET {path}", "Connection: close", BOB))
        assert b'"owner":"alice"' not in heard, (path, heard)
        assert b'"memory_mib"' not in heard or b'"owner":"bob"' in heard, (path, heard)
        heard = await says(proxy.port, raw(f"GET {path}", "Connection: close"))
        assert b'"owner"' not in heard, (path, heard)
        assert re.match(rb"HTTP/1\.1 (4\d\d|200) ", heard), (path, heard)
        assert b"HTTP/1.1 200" not in heard or b'"status"' in heard, (path, heard)
    await everybody_gets_their_own(proxy)
    assert served.engine.audit.rows == []


async def test_a_whole_address_in_the_first_line_is_still_the_proxys(proxy: ProxyProcess) -> None:
    for address in ("http://evil.example", "http://169.254.169.254"):
        heard = await says(proxy.port, raw(f"GET {address}{API_PREFIX}/machines", "Connection: close"))
        assert heard.startswith(b"HTTP/1.1 4"), heard


FOR_ANOTHER = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Scheme": "https",
    "X-Forwarded-User": "carol",
    "Remote-User": "carol",
    "X-Original-URL": "/services/cernvm/api/v1/hosts",
    "X-HTTP-Method-Override": "DELETE",
    "X-JupyterHub-User": "carol",
}


async def test_nobody_says_for_the_proxy_who_and_where_they_are(served: Served, proxy: ProxyProcess) -> None:
    url = f"{proxy.origin}{API_PREFIX}"
    async with httpx.AsyncClient(headers=FOR_ANOTHER, trust_env=False, timeout=SOON) as http:
        assert (await http.get(f"{url}/machines")).status_code == 401
        who = {"Authorization": "Bearer alice-write"}
        listed = await http.get(f"{url}/machines", headers=who)
        assert {machine["owner"] for machine in listed.json()["items"]} == {"alice"}
        assert (await http.get(f"{url}/hosts", headers=who)).status_code == 403
        for hop in ("close", "close, X-Forwarded-For", "X-Forwarded-For, X-Forwarded-Host"):
            done = await http.post(f"{url}/machines/m-alice/start", headers={**who, "Connection": hop})
            assert done.status_code == 202
            assert served.engine.audit.rows[-1].address == "127.0.0.1", hop
        entrance = await http.get(f"{proxy.origin}/services/cernvm/")
        assert entrance.headers["Location"].startswith("/hub/api/oauth2/authorize?")
        assert "evil.example" not in str(entrance.headers)


@pytest.mark.parametrize(
    ("hop", "codes"),
    [
        ({"Connection": "close, Authorization"}, {200, 401}),
        ({"Connection": "Cookie, Host"}, {200, 400}),
        ({"Connection": "upgrade", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}, {None}),
        ({"Connection": "upgrade", "Upgrade": "websocket"}, {200, 400, 403}),
        ({"TE": "trailers, chunked", "Keep-Alive": "timeout=99999"}, {200}),
        ({"Proxy-Authorization": "Bearer carol-admin", "Proxy-Connection": "keep-alive"}, {200}),
    ],
    ids=repr,
)
async def test_headers_of_the_way_give_nobody_another_identity(
    proxy: ProxyProcess, hop: dict[str, str], codes: set[int | None]
) -> None:
    hop = {"Connection": "close", **hop}
    headers = [f"{name}: {value}" for name, value in hop.items()]
    heard = await says(proxy.port, raw(f"GET {API_PREFIX}/machines", ALICE, *headers))
    code = int(heard.split(b" ", 2)[1]) if heard else None  # hung up on
    assert code in codes, heard
    assert b'"bob"' not in heard
    await everybody_gets_their_own(proxy)


async def test_what_follows_a_body_is_no_header(proxy: ProxyProcess) -> None:
    """A trailer may not say who asks."""
    first = raw(f"POST {API_PREFIX}/machines", JSON, "Connection: close", "Trailer: Authorization",
                "Transfer-Encoding: chunked")  # fmt: skip
    heard = await says(proxy.port, first + f'd\r\n{{"name": "x"}}\r\n0\r\n{ALICE}\r\n\r\n'.encode())
    assert heard.startswith(b"HTTP/1.1 40"), heard


async def test_no_route_becomes_a_websocket(proxy: ProxyProcess) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-Fetch-Mode: websocket")  # fmt: skip
    for path in ("machines", "events", "machines?token=alice-write", "health", "nothing"):
        for who in (ALICE, "X: nobody", "Cookie: service-cernvm=x"):
            heard = await says(proxy.port, raw(f"GET {API_PREFIX}/{path}", who, *upgrade))
            assert not heard.startswith(b"HTTP/1.1 101"), (path, heard)
            assert b'"owner"' not in heard, (path, heard)


async def test_a_page_of_the_hubs_acts_and_no_header_makes_another_one_of_it(
    served: Served, proxy: ProxyProcess
) -> None:
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=SOON) as http:
        assert (await http.get(f"{proxy.origin}/services/cernvm/")).status_code == 200
        http.headers["X-XSRFToken"] = http.cookies["_xsrf"]
        start = f"{proxy.origin}{API_PREFIX}/machines/m-alice/start"
        for spoofed in (
            {"X-Forwarded-Host": "evil.example"},
            {"Forwarded": "host=evil.example"},
            {"X-Original-Host": "evil.example", "X-Host": "evil.example"},
            {"Connection": "Origin, Sec-Fetch-Site", "Sec-Fetch-Site": "cross-site"},
        ):
            answer = await http.post(start, headers={"Origin": "http://evil.example", **spoofed})
            assert answer.status_code == 403, spoofed
        assert served.engine.audit.rows == []
        assert (await http.post(start, headers={"Origin": proxy.origin})).status_code == 202
