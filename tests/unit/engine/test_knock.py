"""What answers at a machine's address, looked at from outside: real sockets, real certificates."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from certipy import Certipy

from cernvmapi.models import Session, SessionFile
from cernvmcontroller.guests.knock import Stranger, Unreachable, knock

PATH = "/run/cernvmhub/tls/cert.pem"
PLAIN = Session(env={"JUPYTERHUB_SERVICE_PREFIX": "/user/alice/"})


@asynccontextmanager
async def listening(answer, context=None):
    """Answer every connection in the same way; yield the port and what was asked."""
    asked = []

    async def serve(reader, writer):
        with suppress(ConnectionError):
            asked.append(await reader.read(1024))
            writer.write(answer)
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
        if context is None:  # a handshake that was broken off never comes to us
            await ended.wait()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Two servers' certificates, and a context of a server that wants its clients' too."""
    store = Certipy(store_dir=str(tmp_path_factory.mktemp("tls")))
    store.create_ca("ca")
    made = {}
    for name in ("server", "other"):
        record = store.create_signed_pair(name, "ca", alt_names=["IP:127.0.0.1"])
        made[name] = record["files"]
    return made, store.store.get_record("ca")["files"]["cert"]


def context(certificates, name, **settings):
    made, ca = certificates
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    found.load_cert_chain(made[name]["cert"], made[name]["key"])
    found.verify_mode = ssl.CERT_REQUIRED
    for key, value in settings.items():
        setattr(found, key, value)
    return found


def session(certificates):
    made, _ = certificates
    text = Path(made["server"]["cert"]).read_text()
    return Session(
        env={"JUPYTERHUB_SSL_CERTFILE": PATH, "JUPYTERHUB_SERVICE_URL": "https://10.80.0.16:8888/user/a/"},
        files=[SessionFile(path=PATH, content=text + text)],
    )


@pytest.mark.parametrize("code", [200, 302, 403])
async def test_a_server_that_knows_its_path_is_found(code):
    async with listening(f"HTTP/1.1 {code} Fine\r\n\r\n".encode()) as (port, asked):
        await knock("127.0.0.1", port, PLAIN)
    assert asked[0].startswith(b"GET /user/alice/ HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "does not know the path /user/alice/"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "error 503"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"HTTP/1.1\r\n", "does not speak HTTP"),
    ],
)
async def test_another_server_is_a_stranger(answer, words):
    async with listening(answer) as (port, _):
        with pytest.raises(Stranger, match=words):
            await knock("127.0.0.1", port, PLAIN)


async def test_nobody_is_not_a_stranger(monkeypatch):
    async with listening(b"") as (port, _):
        with pytest.raises(Unreachable, match="closed at once"):
            await knock("127.0.0.1", port, PLAIN)
    with pytest.raises(Unreachable, match="refused"):
        await knock("127.0.0.1", port, PLAIN)
    monkeypatch.setattr("cernvmcontroller.guests.knock.KNOCK_WITHIN", 0.1)

    left = asyncio.Event()

    async def hold(reader, writer):
        with suppress(ConnectionError):
            while await reader.read(1024):
                pass
        writer.close()
        left.set()

    silent = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with silent:
        with pytest.raises(Unreachable, match="nothing comes back"):
            await knock("127.0.0.1", silent.sockets[0].getsockname()[1], PLAIN)
        await left.wait()


async def test_an_open_port_is_enough_where_the_session_is_not_known():
    async with listening(b"anything") as (port, _):
        await knock("127.0.0.1", port, None)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_server_with_its_certificate_is_found(certificates, newest):
    served = context(certificates, "server", maximum_version=newest)
    async with listening(b"", served) as (port, _):
        await knock("127.0.0.1", port, session(certificates))


async def test_another_certificate_is_a_strangers(certificates):
    async with listening(b"", context(certificates, "other")) as (port, _):
        with pytest.raises(Stranger, match="another certificate"):
            await knock("127.0.0.1", port, session(certificates))


async def test_a_server_without_tls_is_a_stranger_where_the_hub_speaks_it(certificates):
    async with listening(b"HTTP/1.1 400 Bad\r\n\r\n") as (port, _):
        with pytest.raises(Stranger, match="does not speak TLS"):
            await knock("127.0.0.1", port, session(certificates))
