"""Large files on their way here: hashed, limited, and gone on with after whatever breaks them off."""

import asyncio
import hashlib
import random
import ssl
import threading

import pytest
from tests.unit.fetch.server import Server

from cernvmapi.errors import SourceFailed
from cernvmcontroller.fetch import Broken, Fetcher, Policy, Transfer, transfer

MIB = 1024**2
BODY = random.Random(1).randbytes(3 * MIB + 17)


@pytest.fixture
async def server(monkeypatch):
    monkeypatch.setattr(transfer, "_PAUSE", 0.001)
    async with Server().run() as served:
        yield served


@pytest.fixture
def get(server, tmp_path):
    """Return a coroutine function that transfers a file and says what it was told."""

    async def get(path="/image", *, limit=10 * MIB, tell=None, **more):
        fetcher = Fetcher(Policy.of(["127.0.0.1"]), ssl.create_default_context())
        url = f"http://127.0.0.1:{server.port}{path}"
        told = []

        async def note(done, total):
            told.append((done, total))

        made = Transfer(fetcher, url, tmp_path, limit=limit, allow_http=True, **more)
        got = await made.run(tell or note)
        return got, told

    return get


def parts(server):
    """Return from where on each request wanted the file."""
    return [headers.get("range", "all") for _, headers in server.requests]


async def test_a_file_comes_with_its_checksums_and_its_progress(server, get):
    server.file("/image", BODY)
    got, told = await get(algorithms=("sha256", "sha512"))
    assert got.path.read_bytes() == BODY
    assert got.size == len(BODY)
    assert got.checksums == {name: hashlib.new(name, BODY).hexdigest() for name in ("sha256", "sha512")}
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


async def test_a_connection_that_breaks_is_made_again_where_it_broke(server, get):
    server.file("/image", BODY, breaks=[MIB, 1000])
    got, _ = await get()
    assert got.checksums["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert parts(server) == ["all", f"bytes={MIB}-", f"bytes={MIB + 1000}-"]


async def test_a_transfer_goes_on_after_a_restart(server, get):
    server.file("/image", BODY)

    async def stop(done, total):
        if done >= 2 * MIB:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await get(tell=stop)
    got, told = await get()
    assert got.checksums["sha256"] == hashlib.sha256(BODY).hexdigest()
    first, _ = told[0]
    assert 2 * MIB <= first < len(BODY)
    assert parts(server) == ["all", f"bytes={first}-"]


async def test_a_transfer_that_is_cancelled_while_its_file_opens_closes_it(server, get, monkeypatch):
    begin, opens, go_on, opened = Transfer._begin, threading.Event(), threading.Event(), []

    def slow(self, *what):
        opens.set()
        assert go_on.wait(10)
        opened.append(begin(self, *what))
        return opened[0]

    monkeypatch.setattr(Transfer, "_begin", slow)
    server.file("/image", BODY)
    task = asyncio.create_task(get())
    await asyncio.to_thread(opens.wait, 10)
    task.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    (file,) = opened
    assert file.closed


async def test_a_file_that_changed_meanwhile_comes_from_its_begin(server, get, tmp_path):
    server.file("/image", BODY, breaks=[MIB])
    server.paths["/image"], whole = None, server.paths["/image"]
    other = BODY[::-1]

    async def first_then_other(writer, headers):
        await whole(writer, headers)
        server.file("/image", other, tag='"v2"')

    server.paths["/image"] = first_then_other
    got, _ = await get()
    assert got.path.read_bytes() == other
    assert got.checksums["sha256"] == hashlib.sha256(other).hexdigest()


async def test_a_server_without_parts_is_asked_for_the_whole_again(server, get):
    server.file("/image", BODY, breaks=[MIB], ranges=False)
    got, _ = await get()
    assert got.path.read_bytes() == BODY


async def test_what_was_left_of_another_url_is_not_used(server, get, tmp_path):
    (tmp_path / "partial").write_bytes(b"something else")
    (tmp_path / "partial.json").write_text('{"url": "https://other.example/", "etag": "\\"v1\\""}')
    server.file("/image", BODY)
    got, _ = await get()
    assert got.path.read_bytes() == BODY
    assert parts(server) == ["all"]


async def test_a_server_that_always_breaks_is_given_up(server, get):
    server.file("/image", BODY, breaks=[0] * 20)
    with pytest.raises(Broken):
        await get()
    assert len(server.requests) == transfer._MOST_FAILURES


async def test_a_server_that_is_busy_is_asked_again(server, get):
    server.page("/image", status="503 Busy")

    async def busy(writer, headers):
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        server.file("/image", BODY)

    server.paths["/image"] = busy
    got, _ = await get()
    assert got.size == len(BODY)


async def test_a_file_that_is_not_there_is_asked_for_once(server, get):
    server.page("/image", status="404 Not Found")
    with pytest.raises(SourceFailed, match="404"):
        await get()
    assert len(server.requests) == 1


async def test_a_file_that_says_that_it_is_too_large_is_not_begun(server, get, tmp_path):
    server.file("/image", BODY)
    with pytest.raises(SourceFailed, match="more than 1 MiB"):
        await get(limit=MIB)
    assert not (tmp_path / "partial").exists()


async def test_a_file_without_an_end_ends_at_the_limit(server, get, tmp_path):
    async def endless(writer, headers):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(bytes(MIB))
            await writer.drain()

    server.paths["/image"] = endless
    with pytest.raises(SourceFailed, match="more than 2 MiB"):
        await get(limit=2 * MIB)
    assert (tmp_path / "partial").stat().st_size <= 2 * MIB


async def test_a_server_that_sends_less_than_the_rest_is_asked_for_more(server, get):
    server.file("/image", BODY, breaks=[MIB])
    first = server.paths["/image"]

    async def stingy(writer, headers):
        if "range" not in headers:
            await first(writer, headers)
            return
        start = int(headers["range"][6:-1])
        part = BODY[start : start + MIB]
        head = f"Content-Range: bytes {start}-{start + len(part) - 1}/{len(BODY)}\r\n"
        head += f'ETag: "v1"\r\nConnection: close\r\nContent-Length: {len(part)}\r\n\r\n'
        writer.write(b"HTTP/1.1 206 Partial Content\r\n" + head.encode() + part)

    server.paths["/image"] = stingy
    got, _ = await get()
    assert got.path.read_bytes() == BODY
    assert parts(server) == ["all", *(f"bytes={n * MIB}-" for n in (1, 2, 3))]


async def test_another_part_than_the_one_asked_for_is_refused(server, get):
    server.file("/image", BODY, breaks=[MIB])
    first = server.paths["/image"]

    async def liar(writer, headers):
        if "range" not in headers:
            await first(writer, headers)
        else:
            writer.write(
                b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n"
            )
            writer.write(bytes(10))

    server.paths["/image"] = liar
    with pytest.raises(SourceFailed, match="another part"):
        await get()
