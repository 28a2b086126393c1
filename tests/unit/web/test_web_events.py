"""The stream of events: nothing is lost, nobody sees what is not theirs, and it ends when it must."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmapi.sse import Parser


class Listener:
    """An open stream."""

    def __init__(self, response):
        self.response = response
        self.chunks = response.aiter_bytes()
        self.parser = Parser()
        self.messages = []
        self.raw = b""

    async def read(self):
        chunk = await asyncio.wait_for(anext(self.chunks), 10)
        self.raw += chunk
        self.messages += self.parser.feed(chunk)

    async def next(self, number):
        while len(self.messages) < number:
            await self.read()
        taken, self.messages = self.messages[:number], self.messages[number:]
        return taken

    async def ended(self):
        async with asyncio.timeout(10):
            async for _chunk in self.chunks:
                pass


@asynccontextmanager
async def listening(served, token, query="", headers=None):
    async with served.http(token) as http, http.stream("GET", f"/events{query}", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no"
        listener = Listener(response)
        await listener.read()
        yield listener


def change(served, owner, number=1, type_="machine.changed"):
    return [served.engine.emit(type_, f"machine/m-{owner}", owner, {"n": n}).id for n in range(number)]


async def test_what_happens_is_told_from_now_on(served):
    async with listening(served, HUB_TOKEN) as listener:
        assert int(listener.parser.last_id) == served.engine.events.last_id()
        (happened,) = change(served, "alice")
        (message,) = await listener.next(1)
    assert (message.id, message.type) == (str(happened), "machine.changed")
    assert '"owner":"alice"' in message.data


async def test_a_stream_is_resumed_where_it_ended(served):
    ids = change(served, "alice", 5)
    resumed = {"Last-Event-ID": str(ids[1])}
    async with listening(served, "alice-read", headers=resumed) as listener:
        assert [int(m.id) for m in await listener.next(3)] == ids[2:]
    async with listening(served, "alice-read", f"?after={ids[3]}") as listener:
        assert [int(m.id) for m in await listener.next(1)] == ids[4:]
    async with listening(served, "alice-read", "?after=0", {"Last-Event-ID": str(ids[3])}) as listener:
        assert [int(m.id) for m in await listener.next(1)] == ids[4:]


async def test_administrators_only_are_told_of_hidden_appliances(served):
    async with listening(served, "alice-read") as alice, listening(served, "carol-admin") as carol:
        for name, hidden in (("secret", True), ("default", False)):
            served.engine.emit("appliance.changed", f"appliance/{name}", None, {"id": name, "hidden": hidden})
        assert ["secret" in message.data for message in await carol.next(2)] == [True, False]
        (told,) = await alice.next(1)
        assert "secret" not in told.data


async def test_users_are_told_of_their_own_things_only(served):
    async with (
        listening(served, "alice-read") as alice,
        listening(served, "carol-admin") as carol,
        listening(served, "prometheus") as service,
    ):
        change(served, "bob", 3)
        served.engine.emit("host.changed", "host/local", None, {})
        last = served.engine.emit("appliance.changed", "appliance/default", None, {}).id
        (mine,) = change(served, "alice")
        assert [int(m.id) for m in await alice.next(2)] == [last, mine]
        assert len(await carol.next(6)) == 6
        assert [int(m.id) for m in await service.next(1)] == [last]


async def test_who_may_not_act_is_told_of_no_actions(served):
    """As the list has none for them: no button looks possible that is not."""
    async with listening(served, "alice-read") as reads, listening(served, "alice-write") as acts:
        served.engine.emit("machine.changed", "machine/m-alice", "alice", {"id": "m-1", "actions": ["start"]})
        (message,) = await reads.next(1)
        assert json.loads(message.data)["data"]["actions"] == []
        (message,) = await acts.next(1)
        assert json.loads(message.data)["data"]["actions"] == ["start"]


async def test_only_the_wished_types_are_told(served):
    async with listening(served, HUB_TOKEN, "?types=machine.deleted,operation.changed") as listener:
        change(served, "alice")
        (wished,) = change(served, "alice", type_="machine.deleted")
        assert [int(m.id) for m in await listener.next(1)] == [wished]


async def test_who_was_away_too_long_is_told_to_list_again(served):
    change(served, "alice", 5)
    served.engine.journal.pruned = served.engine.events.last_id() - 1
    async with listening(served, "alice-read", "?after=1") as listener:
        (message,) = await listener.next(1)
        assert message.type == "reset"
        (following,) = change(served, "alice")
        assert [int(m.id) for m in await listener.next(1)] == [following]


async def test_silence_is_filled_with_heartbeats(served):
    async with listening(served, "alice-read") as listener:
        while listener.raw.count(b": still here") < 3:
            await listener.read()
        assert listener.messages == []


async def test_a_revoked_token_ends_the_stream(served):
    async with listening(served, "alice-read") as listener:
        del served.hub.tokens["alice-read"]
        await listener.ended()


async def test_a_hub_that_is_restarted_ends_no_stream(served):
    async with listening(served, "alice-read") as listener:
        served.hub.broken = True
        asked = served.hub.asked
        while served.hub.asked < asked + 2:
            await listener.read()
        (happened,) = change(served, "alice")
        assert [int(m.id) for m in await listener.next(1)] == [happened]


async def test_who_goes_away_is_forgotten(served):
    async with listening(served, "alice-read"), listening(served, HUB_TOKEN):
        assert len(served.services.streams) == 2
    async with asyncio.timeout(10):
        # The end of a socket is nobody's event.
        while served.services.streams or served.engine.events.subscribers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_controllers_end_ends_the_stream(served):
    async with listening(served, HUB_TOKEN) as listener:
        await served.listeners.close()
        await listener.ended()


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30, "²"])
async def test_a_position_that_is_none_is_refused(served, last):
    async with served.http("alice-read") as http:
        assert (await http.get("/events", headers={"Last-Event-ID": last.encode()})).status_code == 400
        assert (await http.get("/events", params={"after": last})).status_code == 400


async def test_hundreds_listen_at_once(served):
    async with served.http(HUB_TOKEN, limits=httpx.Limits(max_connections=None)) as http:
        opened = [http.build_request("GET", "/events") for _ in range(200)]
        responses = await asyncio.gather(*(http.send(request, stream=True) for request in opened))
        listeners = [Listener(response) for response in responses]
        await asyncio.gather(*(listener.read() for listener in listeners))
        ids = change(served, "alice", 20)
        told = await asyncio.gather(*(listener.next(20) for listener in listeners))
        assert all([int(message.id) for message in each] == ids for each in told)
        await asyncio.gather(*(response.aclose() for response in responses))


async def test_who_is_an_administrator_no_longer_hears_nothing_of_others(served):
    async with listening(served, "carol-admin") as listener:
        kind, name, _scopes = served.hub.tokens["carol-admin"]
        served.hub.tokens["carol-admin"] = (kind, name, ["custom:cernvm:write"])
        await listener.ended()
