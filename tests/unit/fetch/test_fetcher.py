"""Fetching from a real server on loopback: what is allowed, and all that is not."""

import asyncio
import ssl

import pytest
from tests.unit.fetch.server import Server, tls

from cernvmapi.errors import SourceFailed
from cernvmcontroller.fetch import Fetcher, Policy, Validators

NAME = "feeds.example.test"


async def nowhere(host, port):
    raise AssertionError(f"{host}:{port} was looked up")


def answers(*addresses):
    """Return a resolver that gives one answer after the other, the last one for ever."""
    left = list(addresses)

    async def resolve(host, port):
        return [left.pop(0) if len(left) > 1 else left[0]]

    return resolve


@pytest.fixture
async def server():
    async with Server().run() as served:
        yield served


def fetcher(*allowed, resolver=nowhere, context=None):
    return Fetcher(Policy.of(allowed), context or ssl.create_default_context(), resolver)


async def get(server, path="/feed", *, by=None, host="127.0.0.1", limit=10_000, seconds=5.0, **more):
    by = by or fetcher("127.0.0.1")
    url = f"http://{host}:{server.port}{path}"
    return await by.fetch(url, limit=limit, seconds=seconds, **{"allow_http": True, **more})


async def test_what_is_there_is_fetched_and_known_again(server):
    server.etag("/feed", b"hello")
    first = await get(server)
    assert (first.content, first.validators.etag) == (b"hello", '"v1"')
    again = await get(server, known=first.validators)
    assert (again.content, again.validators) == (None, first.validators)
    _, headers = server.requests[0]
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert not {"authorization", "cookie"} & headers.keys()


async def test_an_allowed_name_is_asked_by_its_name(server):
    server.page("/feed", b"x")
    got = await get(server, host=NAME, by=fetcher(NAME, resolver=answers("127.0.0.1")))
    assert got.url == f"http://{NAME}:{server.port}/feed"
    assert server.requests[0][1]["host"] == f"{NAME}:{server.port}"


async def test_without_consent_nothing_goes_unencrypted(server):
    with pytest.raises(SourceFailed, match="without encryption"):
        await get(server, allow_http=False)
    assert server.requests == []


@pytest.mark.parametrize("name", [NAME, "localhost.example.test", "x.127.0.0.1.example.test"])
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
async def test_a_name_of_an_address_inside_is_not_asked(server, name, address):
    with pytest.raises(SourceFailed, match="inside of the site"):
        await get(server, host=name, by=fetcher(resolver=answers(address)))
    assert server.requests == []


async def test_one_bad_address_among_good_ones_is_enough(server):
    async def resolve(host, port):
        return ["93.184.216.34", "127.0.0.1"]

    with pytest.raises(SourceFailed, match="inside of the site"):
        await get(server, host=NAME, by=fetcher(resolver=resolve))


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(server):
    """DNS rebinding: the first answer is allowed, a second one would not be; there is no second question."""
    server.page("/feed", b"x")
    asked = []

    async def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    got = await get(server, host=NAME, by=fetcher("127.0.0.1", resolver=resolve))
    assert (got.content, asked) == (b"x", [NAME])


async def test_a_name_that_changes_its_address_between_hops_is_checked_again(server):
    server.redirect("/feed", "/again")
    with pytest.raises(SourceFailed, match="inside of the site"):
        await get(server, host=NAME, by=fetcher("127.0.0.1", resolver=answers("127.0.0.1", "127.0.0.9")))
    assert [path for path, _ in server.requests] == ["/feed"]


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.2/", "http://localhost/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
        "http://127.1/", "http://0x7f.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:2]/",
        "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/", "http://0/", "http://0.0.0.0/", "http://10.1.2.3/", "http://192.168.1.1/",
        "http://100.64.0.1/", "http://224.0.0.1/", "http://\uff11\uff12\uff17.0.0.2/", "http://127.0.0.2./",
        "//127.0.0.2/",
        "http://user:secret@127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://127.0.0.1:25/",
        "http://[::1",
    ],
)  # fmt: skip
async def test_redirects_inside_are_not_followed_in_any_notation(server, to):
    server.redirect("/feed", to.encode().decode("latin-1"))
    with pytest.raises(SourceFailed):
        await get(server, by=fetcher("127.0.0.1", resolver=answers("127.0.0.2")))
    assert [path for path, _ in server.requests] == ["/feed"]


async def test_redirects_are_followed_to_an_end(server):
    server.redirect("/feed", "/a?b=c", "301 Moved")
    server.redirect("/a?b=c", f"http://127.0.0.1:{server.port}/d", "308 Permanent")
    server.page("/d", b"there")
    got = await get(server)
    assert (got.content, got.url) == (b"there", f"http://127.0.0.1:{server.port}/d")
    server.redirect("/round", "/round")
    with pytest.raises(SourceFailed, match="more than 5 times"):
        await get(server, "/round")


async def test_a_cookie_goes_nowhere(server):
    server.page("/feed", status="302 Found", Location="/there", Set_Cookie="a=b")
    server.page("/there", b"x")
    await get(server)
    assert ["cookie" in headers for _, headers in server.requests] == [False, False]


async def test_too_much_is_not_read(server):
    server.page("/feed", b"x" * 20_000)
    with pytest.raises(SourceFailed, match="more than 9 KiB"):
        await get(server)

    async def endless(writer, headers):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()

    server.paths["/endless"] = endless
    with pytest.raises(SourceFailed, match="more than 9 KiB"):
        await get(server, "/endless")


async def test_who_is_too_slow_is_given_up(server):
    async def slow(writer, headers):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        while True:
            await writer.drain()
            await asyncio.sleep(0.05)

    server.paths["/feed"] = slow
    with pytest.raises(SourceFailed, match=r"within 0\.3 seconds"):
        await get(server, seconds=0.3)


async def test_what_is_compressed_is_refused(server):
    server.page("/feed", b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(SourceFailed, match="compressed"):
        await get(server)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "status 500"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "status 304"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "more than 5 times"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "did not answer"),
        (b"SSH-2.0-OpenSSH\r\n", "did not answer"),
        (b"", "did not answer"),
    ],
)
async def test_what_is_no_good_answer_is_told_in_a_sentence(server, answer, said):
    server.paths["/feed"] = answer
    with pytest.raises(SourceFailed, match=said) as caught:
        await get(server)
    assert caught.value.detail.endswith(".")


async def test_nobody_there_is_told_in_a_sentence(server):
    async def unknown(host, port):
        raise OSError("no such host")

    with pytest.raises(SourceFailed, match="is not known"):
        await get(server, host=NAME, by=fetcher(resolver=unknown))
    with pytest.raises(SourceFailed, match="did not answer"):
        await fetcher("127.0.0.1").fetch("http://127.0.0.1:1025/", limit=1, seconds=5, allow_http=True)


async def test_a_second_address_is_tried_when_the_first_takes_no_connection(server):
    server.page("/feed", b"x")

    async def resolve(host, port):
        return ["127.0.0.3", "127.0.0.1"]

    got = await get(server, host=NAME, by=fetcher("127.0.0.0/8", resolver=resolve))
    assert got.content == b"x"


async def test_tls_checks_the_name_although_the_address_is_asked(tmp_path):
    server_context, client_context = tls(tmp_path, NAME)
    async with Server().run(server_context) as server:
        server.page("/feed", b"secure")
        by = fetcher("127.0.0.1", resolver=answers("127.0.0.1"), context=client_context)
        got = await by.fetch(f"https://{NAME}:{server.port}/feed", limit=100, seconds=5)
        assert got.content == b"secure"
        for url, context in (
            (f"https://other.example.test:{server.port}/feed", client_context),
            (f"https://{NAME}:{server.port}/feed", ssl.create_default_context()),
        ):
            by = fetcher("127.0.0.1", resolver=answers("127.0.0.1"), context=context)
            with pytest.raises(SourceFailed, match=r"[Cc]ertificate"):
                await by.fetch(url, limit=100, seconds=5)
        server.redirect("/down", f"http://127.0.0.1:{server.port}/feed")
        by = fetcher("127.0.0.1", resolver=answers("127.0.0.1"), context=client_context)
        with pytest.raises(SourceFailed, match="without encryption"):
            await by.fetch(f"https://{NAME}:{server.port}/down", limit=100, seconds=5)


async def test_validators_that_cannot_be_sent_back_are_forgotten(server):
    server.page("/feed", b"x", ETag="é".encode().decode("latin-1"), Last_Modified="x" * 5000)
    assert (await get(server)).validators == Validators()
