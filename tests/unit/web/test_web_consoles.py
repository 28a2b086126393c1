"""Consoles over the WebSocket: who gets one, what goes through it, and how it ends."""

import asyncio
import json
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.unit.web.fakehub import HUB_TOKEN, READ
from tests.unit.web.memoryrows import machine
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cernvmapi import AsyncClient, Client
from cernvmapi.consoles import PROTOCOL, ConsoleKind
from cernvmapi.errors import Conflict, Forbidden, HostUnreachable, NotFound
from cernvmapi.models import Power, Status
from cernvmcontroller.web import tickets, viewers
from cernvmcontroller.web.socket import GONE, OVER, REVOKED, SLOW, UNAVAILABLE

SOCKET = "/machines/m-alice/console/socket"


@pytest.fixture
async def guest(served):
    """The guest's end of the serial console of Alice's machine, which runs."""
    for owner in ("alice", "bob"):
        served.engine.machines.put(machine(f"m-{owner}", owner, status=Status.RUNNING, power=Power.ON))
    return await served.engine.screens.boot("m-alice")


async def ticket_for(served, token="alice-write", machine_id="m-alice", **request):
    async with served.http(token) as http:
        answer = await http.post(f"/machines/{machine_id}/console", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()["ticket"]


def socket(served, ticket, token="alice-write", path=SOCKET, protocols=None, **headers):
    given = {"Authorization": f"Bearer {token}"} if token else {}
    return connect(
        f"ws://127.0.0.1:{served.port}/services/cernvm/api/v1{path}",
        subprotocols=[PROTOCOL, f"ticket.{ticket}"] if protocols is None else protocols,
        additional_headers=given | headers,
        compression=None,
        proxy=None,
    )


@asynccontextmanager
async def console(served, token="alice-write", **request):
    async with socket(served, await ticket_for(served, token, **request), token) as opened:
        yield opened


async def refused(served, ticket, **how):
    """Return the problem that opening a console ends with."""
    with pytest.raises(InvalidStatus) as caught:
        async with socket(served, ticket, **how):
            pass
    response = caught.value.response
    problem = json.loads(response.body)
    assert problem["status"] == response.status_code
    return problem


async def closed(opened):
    """Read to the end; return the code and the reason."""
    try:
        async with asyncio.timeout(10):
            while True:
                await opened.recv()
    except ConnectionClosed as end:
        return end.rcvd.code, end.rcvd.reason


async def serial(opened):
    """Return the greeting."""
    return json.loads(await opened.recv())


async def read(opened, size):
    heard = b""
    async with asyncio.timeout(10):
        while len(heard) < size:
            heard += await opened.recv()
    return heard


# --- who gets one ---


async def test_a_ticket_opens_the_console_it_was_given_for(served, guest):
    async with console(served) as opened:
        assert opened.subprotocol == PROTOCOL
        assert (await serial(opened))["offset"] == 0
        await guest.write(b"login: ")
        assert await read(opened, 7) == b"login: "
        await opened.send(b"root\n")
        assert await guest.read() == b"root\n"
        await opened.send("text as xterm.js sends it\n")
        assert await guest.read() == b"text as xterm.js sends it\n"
    (row,) = served.engine.audit.rows
    assert (row.actor, row.action, row.subject) == ("alice", "machine.console", "machine/m-alice")


async def test_a_ticket_is_good_once(served, guest):
    ticket = await ticket_for(served)
    async with socket(served, ticket):
        problem = await refused(served, ticket)
    assert problem["code"] == "forbidden"
    assert "Ask for another one" in problem["detail"]


async def test_a_ticket_that_came_too_late_is_worth_nothing(served, guest):
    now = 0.0
    served.services.tickets = tickets.Tickets(clock=lambda: now)
    ticket = await ticket_for(served)
    now = served.services.tickets.lifetime
    assert (await refused(served, ticket))["status"] == 403


@pytest.mark.parametrize("thief", ["bob-write", "carol-admin", "service-alice", HUB_TOKEN])
async def test_a_stolen_ticket_is_worth_nothing_and_is_used_up(served, guest, thief):
    ticket = await ticket_for(served)
    assert (await refused(served, ticket, token=thief))["status"] == 403
    assert (await refused(served, ticket))["status"] == 403
    assert served.engine.audit.rows == []


async def test_a_ticket_alone_is_not_enough(served, guest):
    ticket = await ticket_for(served)
    assert (await refused(served, ticket, token=None))["status"] == 401
    assert (await refused(served, ticket, token="alice-read"))["status"] == 403
    assert (await refused(served, "made-up"))["status"] == 403
    assert (await refused(served, ticket, protocols=[PROTOCOL]))["status"] == 400
    assert (await refused(served, ticket, protocols=[f"ticket.{ticket}"]))["status"] == 400
    async with socket(served, ticket):
        pass


async def test_a_ticket_is_for_one_machine(served, guest):
    ticket = await ticket_for(served, "carol-admin", "m-bob")
    assert (await refused(served, ticket, token="carol-admin"))["status"] == 403


async def test_a_ticket_in_the_url_is_not_taken(served, guest):
    ticket = await ticket_for(served)
    for query in (f"?ticket={ticket}", "?token=alice-write"):
        for headers in ({}, {"Sec-Fetch-Mode": "websocket"}):
            problem = await refused(served, ticket, path=SOCKET + query, protocols=[PROTOCOL], **headers)
            assert problem["status"] == 400
    async with socket(served, ticket):
        pass


async def test_a_request_that_is_no_websocket_is_told_so_and_uses_no_ticket_up(served, guest):
    ticket = await ticket_for(served)
    async with served.http("alice-write") as http:
        offered = {"Sec-WebSocket-Protocol": f"{PROTOCOL}, ticket.{ticket}"}
        answer = await http.get(SOCKET, headers=offered)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    async with socket(served, ticket):
        pass


async def test_an_administrator_opens_anybodys_console_and_that_is_written_down(served, guest):
    async with console(served, "carol-admin") as opened:
        await serial(opened)
    assert [row.actor for row in served.engine.audit.rows] == ["carol"]


async def test_nobody_else_gets_a_ticket(served, guest):
    for token, status in (("bob-write", 404), ("alice-read", 403), ("prometheus", 403), (None, 401)):
        async with served.http(token) as http:
            assert (await http.post("/machines/m-alice/console", json={})).status_code == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1.evil.example"]
)
async def test_a_page_of_another_origin_gets_no_console(served, guest, origin):
    ticket = await ticket_for(served)
    assert (await refused(served, ticket, Origin=origin))["status"] == 403


async def test_a_page_that_came_without_tls_gets_no_console_of_a_site_with_tls(served, guest):
    ticket = await ticket_for(served)
    here = {"Origin": served.origin, "X-Forwarded-Proto": "https"}
    assert (await refused(served, ticket, **here))["status"] == 403
    here["Origin"] = served.origin.replace("http:", "https:")
    async with socket(served, ticket, **here):
        pass


async def test_a_log_never_has_a_ticket(served, guest, capfd, caplog):
    ticket = await ticket_for(served)
    async with socket(served, ticket) as opened:
        await serial(opened)
    await refused(served, ticket)
    out, err = capfd.readouterr()
    assert ticket not in out + err + caplog.text
    assert ticket not in repr(served.services)


async def test_nobody_piles_up_tickets():
    given = tickets.Tickets()
    many = [given.issue("alice", "m", None) for _ in range(tickets.MOST_OF_ONE + 1)]
    assert len(given._grants) == tickets.MOST_OF_ONE
    with pytest.raises(Forbidden):
        given.redeem(many[0], "alice", "m")
    assert given.redeem(many[-1], "alice", "m") is None


# --- what goes through it ---


async def test_a_new_viewer_sees_what_was_written_before_and_two_see_the_same(served, guest):
    await guest.write(b"booting\n")
    async with console(served) as one, console(served, "carol-admin") as other:
        for opened in (one, other):
            await serial(opened)
            assert await read(opened, 8) == b"booting\n"
        await guest.write(b"ready\n")
        assert await read(one, 6) == await read(other, 6) == b"ready\n"
        metrics = served.services.metrics.text(await served.engine.figures()).decode()
        assert 'cernvm_consoles_open{kind="serial"} 2.0' in metrics
    assert 'cernvm_consoles_opened_total{kind="serial"} 2.0' in metrics


async def test_who_connects_again_goes_on_where_it_was(served, guest):
    await guest.write(b"0123456789")
    async with console(served) as opened:
        greeting = await serial(opened)
        await read(opened, 10)
    await guest.write(b"meanwhile")
    after = {"stream": greeting["stream"], "offset": 10}
    async with console(served, after=after) as opened:
        again = await serial(opened)
        assert (again["offset"], again["truncated"]) == (10, False)
        assert await read(opened, 9) == b"meanwhile"
    async with console(served, after={"stream": "of-an-earlier-controller", "offset": 10}) as opened:
        again = await serial(opened)
        assert (again["offset"], again["truncated"]) == (0, True)


async def test_who_only_looks_types_nothing(served, guest):
    async with console(served, view_only=True) as looking, console(served) as typing:
        await serial(looking)
        await serial(typing)
        await looking.send(b"rm -rf /\n")
        await asyncio.wait_for(await looking.ping(), 10)  # what was sent before has been taken
        await typing.send(b"ls\n")
        assert await guest.read() == b"ls\n"


async def test_what_is_typed_while_the_line_is_lost_is_lost_and_the_viewer_stays(served, guest):
    async with console(served) as opened:
        await serial(opened)
        await guest.close()
        while served.engine.screens.consoles._streams:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await opened.send(b"lost")
        await asyncio.wait_for(await opened.ping(), 10)
        served.engine.screens.consoles.ring("m-alice").add(b"later")
        served.engine.screens.consoles.tell("m-alice")
        assert await read(opened, 5) == b"later"


async def test_a_screen_is_passed_through_and_shared_by_all(served, guest):
    async with console(served, kind="vnc") as opened:
        while not served.engine.screens.screens:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (server,) = served.engine.screens.screens
        await server.write(b"RFB 003.008\n")
        assert await opened.recv() == b"RFB 003.008\n"
        await opened.send(b"RFB 003.008\n")
        await opened.send(b"\x01\x00")  # no password; the screen for itself alone
        heard = b""
        while len(heard) < 14:
            heard += await server.read()
        assert heard == b"RFB 003.008\n\x01\x01"


async def test_a_viewer_that_does_not_speak_rfb_is_hung_up_on(served, guest):
    async with console(served, kind="vnc") as opened:
        while not served.engine.screens.screens:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await served.engine.screens.screens[0].write(b"RFB 003.008\n")
        await opened.recv()
        await opened.send(b"GET / HTTP/1.1\r\n")
        assert (await closed(opened))[0] == 1002


async def test_a_slow_viewer_is_dropped_and_nothing_is_kept_for_it(served, guest):
    served.services.patience = 0.2
    async with console(served) as opened:
        await serial(opened)
        opened.transport.pause_reading()
        began = asyncio.get_running_loop().time()
        while served.services.streams and asyncio.get_running_loop().time() - began < 30:
            await guest.write(b"x" * 65536)
            await asyncio.sleep(0)
        assert not served.services.streams, "it is still served"
        opened.transport.resume_reading()
        assert (await closed(opened))[0] == SLOW


async def test_what_a_viewer_sends_is_limited(served, guest):
    async with console(served) as opened:
        await serial(opened)
        await opened.send(b"x" * (64 * 1024 + 1))
        assert (await closed(opened))[0] == 1009


# --- how it ends ---


async def test_it_ends_when_the_token_is_revoked(served, guest, hub):
    async with console(served) as opened:
        await serial(opened)
        del hub.tokens["alice-write"]
        assert await closed(opened) == REVOKED


async def test_it_ends_when_the_right_is_taken_away(served, guest, hub):
    async with console(served) as opened:
        await serial(opened)
        hub.tokens["alice-write"] = ("user", "alice", [READ])
        assert await closed(opened) == REVOKED


async def test_a_hub_that_is_restarted_ends_no_console(served, guest, hub):
    async with console(served) as opened:
        await serial(opened)
        asked = hub.asked
        hub.broken = True
        while hub.asked < asked + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await guest.write(b"still here")
        assert await read(opened, 10) == b"still here"


async def test_it_ends_when_the_machine_is_deleted(served, guest):
    served.services.recheck = 1000
    async with console(served) as opened:
        await serial(opened)
        async with served.http("alice-write") as http:
            await http.delete("/machines/m-alice")
        assert await closed(opened) == GONE


async def test_it_ends_when_the_machine_changes_hands(served, guest):
    served.services.recheck = 1000
    async with console(served) as opened, console(served, "carol-admin") as admins:
        await serial(opened)
        await serial(admins)
        row = await served.engine.machines.get("m-alice")
        served.engine.machines.put(msgspec.structs.replace(row, owner="bob"))
        assert await closed(opened) == GONE
        await guest.write(b"on")
        assert await read(admins, 2) == b"on"


async def test_it_ends_when_the_machine_goes_off_and_not_when_nothing_is_known_of_it(served, guest):
    served.services.recheck = 1000
    async with console(served) as opened:
        await serial(opened)
        row = await served.engine.machines.get("m-alice")
        served.engine.machines.put(msgspec.structs.replace(row, power=Power.UNKNOWN))
        await guest.write(b"unknown")
        assert await read(opened, 7) == b"unknown"
        served.engine.machines.put(msgspec.structs.replace(row, power=Power.OFF, status=Status.STOPPED))
        assert await closed(opened) == OVER


async def test_it_ends_with_the_controller_and_says_that_one_may_come_again(served, guest):
    async with console(served) as opened:
        await serial(opened)
        closing = asyncio.create_task(served.services.finish(5))
        assert (await closed(opened))[0] == 1001
        await closing


async def test_what_cannot_be_opened_after_all_is_explained_in_the_socket(served, guest):
    ticket = await ticket_for(served)
    served.engine.screens.refusal = HostUnreachable("The host local does not answer.")
    async with socket(served, ticket) as opened:
        assert await closed(opened) == (UNAVAILABLE, "The host local does not answer.")


async def test_a_machine_has_so_many_viewers_and_no_more(served, guest, monkeypatch):
    monkeypatch.setattr(viewers, "MOST_OF_A_MACHINE", 1)
    async with console(served) as opened:
        await serial(opened)
        async with console(served, "carol-admin") as another:
            code, reason = await closed(another)
    assert (code, "Close one of them" in reason) == (UNAVAILABLE, True)
    async with console(served) as opened:
        await serial(opened)


# --- screenshots and keys ---


async def test_a_screenshot_is_a_picture(served):
    async with served.http("alice-read") as http:
        answer = await http.get("/machines/m-alice/screenshot")
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


async def test_keys_are_pressed_and_what_was_typed_is_not_written_down(served):
    async with served.http("alice-write") as http:
        body = {"text": "Pa5s\n", "keys": ["ctrl-alt-delete"]}
        assert (await http.post("/machines/m-alice/keys", json=body)).status_code == 204
        for wrong in ({"keys": ["ctrl-alt-explode"]}, {"text": "é"}):
            answer = await http.post("/machines/m-alice/keys", json=wrong)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert (await http.post("/machines/m-alice/keys", json={"keys": ["CTRL+C"]})).status_code == 400
    assert served.engine.screens.pressed == [(42, 25), (30,), (6,), (31,), (28,), (29, 56, 111)]
    assert "Pa5s" not in repr(served.engine.audit.rows)


# --- the clients ---


async def test_the_clients_open_consoles(served, guest):
    await guest.write(b"login: ")
    async with AsyncClient(served.url, "alice-write") as client:
        async with client.console("m-alice") as opened:
            assert await opened.read() == b"login: "
            await opened.write(b"root\n")
            assert await guest.read() == b"root\n"
            position = opened.position
        assert position.offset == 7
        with pytest.raises(NotFound):
            async with client.console("m-bob"):
                pass
        served.engine.screens.refusal = Conflict("It is off.")
        with pytest.raises(Conflict, match="It is off"):
            async with client.console("m-alice", ConsoleKind.VNC):
                pass
        served.engine.screens.refusal = None
        assert (await client.machines.screenshot("m-alice")).startswith(b"\x89PNG")
        await client.machines.press("m-alice", "enter", text="a")

    def waiting():
        with (
            Client(served.url, "alice-write") as client,
            client.console("m-alice", after=position) as opened,
        ):
            with pytest.raises(TimeoutError):
                opened.read(timeout=0.05)
            opened.write(b"ls\n")
            for heard in opened:
                assert heard == b"a  b\n"
                client.machines.delete("m-alice")
            return opened.ended

    told = asyncio.create_task(asyncio.to_thread(waiting))
    assert await guest.read() == b"ls\n"
    await guest.write(b"a  b\n")
    assert await told == GONE.reason
