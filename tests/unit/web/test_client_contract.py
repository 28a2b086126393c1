"""The client against a served controller: the same story, told by `Client` and by `AsyncClient`."""

import asyncio
import inspect

import pytest
from tests.unit.web.fakehub import HUB_TOKEN
from tests.unit.web.memoryrows import machine

from cernvmapi import AsyncClient, Client
from cernvmapi.errors import (
    Conflict,
    ControllerUnreachable,
    Forbidden,
    Malformed,
    NotFound,
    StartFailed,
    Unauthenticated,
)
from cernvmapi.models import (
    Console,
    Flavor,
    Health,
    Machine,
    MachineCreate,
    OperationStatus,
    Session,
    Status,
    Volume,
    VolumeKind,
)

KINDS = {"sync": Client, "async": AsyncClient}


class Caller:
    """Lets one test speak to both clients: what is sync runs in a thread, for the server is in this loop."""

    def __init__(self, client):
        self.client = client

    async def __call__(self, verb, *args, **kwargs):
        method = self.client
        for part in verb.split("."):
            method = getattr(method, part)
        if isinstance(self.client, AsyncClient):
            return await method(*args, **kwargs)
        return await asyncio.to_thread(method, *args, **kwargs)

    async def follow(self, number, **kwargs):
        """Return the first events."""
        if isinstance(self.client, AsyncClient):
            events = self.client.events(**kwargs)
            try:
                return [await asyncio.wait_for(anext(events), 15) for _ in range(number)]
            finally:
                await events.aclose()

        def take():
            events = self.client.events(**kwargs)
            try:
                return [next(events) for _ in range(number)]
            finally:
                events.close()

        return await asyncio.wait_for(asyncio.to_thread(take), 15)


@pytest.fixture(params=KINDS)
async def kind(request):
    return KINDS[request.param]


@pytest.fixture
async def call(kind, served):
    clients = []

    def of(token=HUB_TOKEN, url=served.url):
        clients.append(kind(url, token))
        return Caller(clients[-1])

    yield of
    for client in clients:
        closed = client.close()
        if inspect.isawaitable(closed):
            await closed


async def test_the_life_of_a_machine(call, served):
    alice = call("alice-write")
    made = await alice("machines.create", name="first", labels={"a": "b"})
    assert isinstance(made, Machine)
    assert (made.owner, made.name) == ("alice", "first")
    same = await alice("machines.create", MachineCreate(name="second"))
    assert (await alice("machines.change", same.id, notes="until June")).notes == "until June"
    assert same.id != made.id
    assert await alice("machines.get", made.id) == made
    listed = await alice("machines.list", status=[Status.STOPPED], sort="name", limit=2)
    assert [row.name for row in listed.items] == ["alice's", "first"]
    rest = await alice("machines.list", status=Status.STOPPED, sort="name", limit=2, cursor=listed.next)
    assert ([row.name for row in rest.items], rest.next) == (["second"], None)
    for verb in ("start", "shutdown", "poweroff", "reboot"):
        operation = await alice(f"machines.{verb}", made.id)
        assert (operation.action, operation.status) == (f"machine.{verb}", OperationStatus.RUNNING)
    assert isinstance(await alice("machines.console", made.id), Console)
    await alice("machines.delete", made.id)
    with pytest.raises(NotFound, match=made.id):
        await alice("machines.get", made.id)


async def test_all_pages_at_once(call, served, monkeypatch):
    monkeypatch.setattr("cernvmapi.verbs.LARGEST_PAGE", 3)
    for number in range(10):
        served.engine.machines.put(machine(f"m-{number}", "alice"))
    rows = await call()("machines.all", owner="alice")
    assert len({row.id for row in rows}) == 11


async def test_waiting_for_success_failure_and_cancel(call, served, monkeypatch):
    monkeypatch.setattr("cernvmapi.steps.LONGEST_WAIT", 0.05)  # so that it takes more than one request
    alice = call("alice-write")
    failure = StartFailed("The machine got no address.").problem("r-9")
    for status, error, outcome in (
        (OperationStatus.SUCCEEDED, None, None),
        (OperationStatus.FAILED, failure, StartFailed),
        (OperationStatus.CANCELLED, None, Conflict),
    ):
        before = set(served.engine.operations.rows)
        waiting = asyncio.create_task(alice("machines.start", "m-alice", wait=True, timeout=20))
        async with asyncio.timeout(10):
            while not (new := set(served.engine.operations.rows) - before):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await served.engine.operations.finish(new.pop(), status, error)
        if outcome is None:
            assert (await waiting).status is status
            continue
        with pytest.raises(outcome) as caught:
            await waiting
        if error is not None:
            assert (str(caught.value), caught.value.request_id) == ("The machine got no address.", "r-9")


async def test_waiting_has_an_end(call):
    alice = call("alice-write")
    with pytest.raises(TimeoutError, match=r"machine\.start of machine/m-alice"):
        await alice("operations.wait", "o-1", timeout=0.1)
    cancelled = await alice("operations.cancel", "o-1")
    assert cancelled.status is OperationStatus.CANCELLED
    assert (await alice("operations.wait", "o-1")).status is OperationStatus.CANCELLED
    with pytest.raises(Conflict):
        await alice("operations.cancel", "o-1")
    assert (await alice("operations.list", status=OperationStatus.CANCELLED)).total == 1


async def test_sessions_of_the_hub(call, served):
    session = Session(env={"A": "b"}, port=9000)
    await call()("machines.start", "m-alice", session)
    await call()("machines.put_session", "m-bob", session)
    assert served.engine.machines.sessions == {"m-alice": session, "m-bob": session}
    with pytest.raises(Forbidden):
        await call("alice-write")("machines.put_session", "m-alice", session)


async def test_what_a_site_has(call, served):
    hub = call()
    assert isinstance((await hub("flavors.list"))[0], Flavor)
    assert [row.id for row in await hub("appliances.list")] == ["default", "secret"]
    assert (await hub("appliances.get", "default")).id == "default"
    assert [row.id for row in await hub("hosts.list")] == ["local"]
    assert (await hub("hosts.get", "local")).alive
    assert len(await hub("networks.list")) == len(await hub("pools.list")) == 1
    volume = await hub("volumes.get", "v-alice")
    assert isinstance(volume, Volume)
    assert (await hub("volumes.list", kind=VolumeKind.HOME, owner="alice")).items == [volume]
    assert await hub("volumes.all", kind=VolumeKind.BASE) == []
    assert await hub("volumes.delete", "v-alice") is None
    assert isinstance(await call(None)("health"), Health)
    assert (await hub("health", details=True)).components
    served.engine.status = "down"
    assert (await hub("health", details=True)).status == "down", "what is wrong is in it"
    served.engine.status = "ok"
    assert "cernvm_request_seconds" in await hub("metrics")
    assert (await hub("openapi"))["openapi"] == "3.1.0"
    assert (await hub("audit.list", actor="nobody")).total == 0


async def test_feeds_and_what_they_offer(call, served):
    hub = call()
    made = await hub("feeds.create", "https://feeds.example/two.rss", id="two", title="Two")
    assert [row.id for row in await hub("feeds.list")] == ["f-one", "two"]
    assert await hub("feeds.get", "two") == made
    assert (await hub("feeds.change", "two", title="2")).title == "2"
    assert (await hub("feeds.refresh", "two")).action == "feed.refresh"
    assert await hub("feeds.delete", "two") is None
    with pytest.raises(NotFound, match="two"):
        await hub("feeds.get", "two")
    first = await hub("catalogue.list", limit=2, sort="title")
    assert [entry.id for entry in first.items] == ["e-0", "e-1"]
    assert len(await hub("catalogue.all", search="Entry")) == 5
    with pytest.raises(Malformed, match="sort"):
        await hub("catalogue.list", sort="colour")
    with pytest.raises(Malformed, match="interval"):
        await hub("feeds.create", "https://feeds.example/two.rss", interval=1)
    with pytest.raises(Forbidden):
        await call("alice-write")("catalogue.list")


async def test_hosts_and_clusters_of_an_administrator(call, served):
    hub = call()
    assert "qemu+tls://far/system" in (await hub("hosts.test", "qemu+tls://far/system", "far")).reason
    made = await hub("hosts.attach", "far", "qemu+tls://far/system", credentials="far", labels={"rack": "1"})
    assert (made.id, made.source) == ("far", "api")
    (sent,) = served.engine.hosts.attached
    assert (sent.uris, sent.credentials, sent.labels) == (["qemu+tls://far/system"], "far", {"rack": "1"})
    assert (await hub("hosts.look", "local")).level == "notebook"
    assert (await hub("hosts.change", "local", maintenance=True)).maintenance
    await hub("hosts.detach", "far")
    await hub("hosts.detach", "far", forget=True)
    assert [record.action for record in served.engine.audit.rows[-2:]] == ["host.detach", "host.forget"]

    assert (await hub("clusters.create", "x86", name="Old processors")).name == "Old processors"
    assert (await hub("clusters.change", "x86", name="x86 and older")).name == "x86 and older"
    assert (await hub("clusters.put_members", "x86", add_hosts=["local"])).hosts == ["local"]
    assert [each.id for each in await hub("clusters.list", host="local")] == ["default", "x86"]
    assert (await hub("clusters.get", "x86")).hosts == ["local"]
    assert (await hub("machines.list", cluster="x86")).total == 0
    assert await hub("clusters.delete", "x86") is None
    for verb, arguments in (("hosts.attach", ("far", "qemu:///system")), ("clusters.create", ("mine",))):
        with pytest.raises(Forbidden, match="custom:cernvm:admin"):
            await call("alice-write")(verb, *arguments)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ext:///system?command=/tmp/evil",
        "qemu:///system?command=/tmp/evil",
        "qemu+tls://far/system?no_verify=1",
        "qemu+ssh://root:secret@far/system",
        "qemu+ssh://-oProxyCommand=evil/system",
        "qemu+tcp://far/system",
        "test:///etc/passwd",
        "qemu+tls://far/system\n",
        "qemu+tls://far/../system",
        "",
    ],
)
async def test_a_uri_that_could_do_more_than_connect_is_refused(call, served, uri):
    for verb, arguments in (("hosts.test", (uri,)), ("hosts.attach", ("far", uri))):
        with pytest.raises(Malformed, match="uri"):
            await call()(verb, *arguments)
    assert served.engine.hosts.attached == []


async def test_problems_become_exceptions_that_explain(call):
    with pytest.raises(Unauthenticated, match="Bearer"):
        await call("wrong")("machines.list")
    with pytest.raises(Forbidden, match="custom:cernvm:write"):
        await call("alice-read")("machines.create")
    with pytest.raises(NotFound) as caught:
        await call("alice-read")("machines.get", "m-bob")
    assert caught.value.request_id
    with pytest.raises(Malformed) as malformed:
        await call()("machines.list", limit=0)
    assert malformed.value.errors[0]["path"] == "limit"
    with pytest.raises(NotFound):
        await call()("machines.get", "../../../hub/api")


async def test_any_name_goes_over_the_wire(call):
    made = await call("ursula")("machines.create", name="Быстрый ☕ 速い", server_name="ä/b")
    assert (made.owner, made.name) == ("Ursulä ☕", "Быстрый ☕ 速い")


async def test_a_controller_that_is_not_there_is_told_in_a_sentence(call, served, hub):
    await served.listeners.close()
    with pytest.raises(ControllerUnreachable, match=r"The controller at 127\.0\.0\.1:\d+ does not answer"):
        await call()("machines.list")
    with pytest.raises(ControllerUnreachable):
        await call().follow(1)
    with pytest.raises(ControllerUnreachable, match="nothing that explains"):
        await call(url=f"http://127.0.0.1:{hub.port}/x")("health")  # something else is there
    hub.broken = True
    with pytest.raises(ControllerUnreachable, match="proxy"):
        await call(url=f"{hub.api_url}/user?")("health")


async def test_events_from_a_list_on(call, served):
    alice = call("alice-write")
    listed = await alice("machines.list")
    made = await alice("machines.create", name="new")
    served.engine.emit("operation.changed", "operation/o-1", "alice", {})
    served.engine.emit("machine.deleted", f"machine/{made.id}", "alice", {})
    events = await alice.follow(2, after=listed.event_id, types=["machine.changed", "machine.deleted"])
    assert [event.type for event in events] == ["machine.changed", "machine.deleted"]
    assert events[0].data["name"] == "new"


async def test_events_go_on_after_the_connection_was_lost(call, served, monkeypatch):
    monkeypatch.setattr("cernvmapi.sse.FIRST_DELAY", 0.01)
    monkeypatch.setattr("cernvmcontroller.web.endpoints.events.RETRY", 10)
    states = []
    first = served.engine.events.last_id()
    following = asyncio.create_task(call("alice-read").follow(30, after=first, on_connection=states.append))
    sent = []
    for number in range(30):
        sent.append(served.engine.emit("machine.changed", "machine/m-alice", "alice", {"n": number}).id)
        if number % 10 == 5:
            async with asyncio.timeout(10):
                while True not in states or not served.services.streams:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            for stream in tuple(served.services.streams):
                stream.cancel()
        await asyncio.sleep(0)
    assert [event.id for event in await following] == sent
    assert states[0] is True
    assert False in states


async def test_events_end_when_the_right_is_gone(call, served):
    with pytest.raises(Unauthenticated):
        await call("wrong").follow(1)
    following = asyncio.create_task(call("alice-read").follow(1))
    async with asyncio.timeout(10):
        while not served.services.streams:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    del served.hub.tokens["alice-read"]
    with pytest.raises(Unauthenticated):
        await following


async def test_events_that_are_gone_are_told_as_a_reset(call, served):
    for _ in range(3):
        served.engine.emit("machine.changed", "machine/m-alice", "alice", {})
    served.engine.journal.pruned = served.engine.events.last_id() - 1
    (event,) = await call("alice-read").follow(1, after=1)
    assert event.type == "reset"
