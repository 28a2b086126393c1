"""What machines used, over HTTP and by both clients: whose, and which time."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from tests.unit.web.fakehub import HUB_TOKEN
from tests.unit.web.memoryrows import NOW

from cernvmapi import AsyncClient, Client
from cernvmapi.errors import Forbidden, NotFound
from cernvmapi.usage import Usage, UsageStatistics


@pytest.fixture(params=["sync", "async"])
async def usage(request, served):
    """Calls a verb of ``client.usage`` with somebody's token."""
    clients = []

    async def call(token, verb, *args, **more):
        client = (Client if request.param == "sync" else AsyncClient)(served.url, token)
        clients.append(client)
        method = getattr(client.usage, verb)
        if request.param == "sync":
            return await asyncio.to_thread(method, *args, **more)
        return await method(*args, **more)

    yield call
    for client in clients:
        if isinstance(client, AsyncClient):
            await client.close()
        else:
            client.close()


async def test_a_user_sees_what_their_machines_used_and_nothing_else(usage, served):
    assert (await usage("alice-read", "machine", "m-alice")).subject == "machine/m-alice"
    with pytest.raises(NotFound):
        await usage("alice-read", "machine", "m-bob")
    assert (await usage("alice-read", "owner")).subject == "user/alice"
    with pytest.raises(Forbidden):
        await usage("alice-read", "owner", "bob")
    with pytest.raises(Forbidden):
        await usage("alice-read", "statistics", owner="bob")
    for verb, name in (("host", "local"), ("cluster", "default"), ("appliance", "default")):
        with pytest.raises(Forbidden):
            await usage("alice-write", verb, name)
    await usage("alice-read", "machines", ["m-alice", "m-bob"])
    await usage("alice-read", "statistics")
    assert {owner for _, owner, _ in served.engine.usage.asked} == {"alice"}


async def test_a_service_that_may_read_owns_nothing(usage, served):
    await usage("prometheus", "owner")
    await usage("prometheus", "statistics")
    assert {owner for _, owner, _ in served.engine.usage.asked} == {"service:prometheus"}


async def test_an_administrator_sees_everybodys(usage, served):
    for token in ("carol-admin", HUB_TOKEN):
        assert (await usage(token, "owner")).subject == "hub"
        assert (await usage(token, "owner", "bob")).subject == "user/bob"
        assert (await usage(token, "machine", "m-bob")).subject == "machine/m-bob"
        assert (await usage(token, "host", "local")).subject == "host/local"
        assert (await usage(token, "cluster", "default")).subject == "cluster/default"
        assert (await usage(token, "appliance", "default")).subject == "appliance/default"
        found = await usage(token, "statistics", by="owner", owner="bob")
        assert isinstance(found, UsageStatistics)
        assert [item.name for item in found.items] == ["bob"]
    with pytest.raises(NotFound):
        await usage(HUB_TOKEN, "host", "nowhere")
    with pytest.raises(NotFound):
        await usage(HUB_TOKEN, "cluster", "nowhere")
    with pytest.raises(NotFound):
        await usage(HUB_TOKEN, "appliance", "nothing")


async def test_range_and_resolution_arrive(usage, served):
    begin = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    await usage("alice-read", "machine", "m-alice", start=begin, end=NOW, resolution=300)
    _, _, wanted = served.engine.usage.asked[-1]
    assert (wanted.begin, wanted.end, wanted.resolution, wanted.points) == (begin, NOW, 300, None)
    local = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as a person in a notebook writes it
    await usage("alice-read", "owner", start=local, points=7)
    _, _, wanted = served.engine.usage.asked[-1]
    assert (wanted.begin, wanted.points) == (local.astimezone(UTC), 7)
    await usage("alice-read", "statistics", start=begin)
    assert served.engine.usage.asked[-1][2].begin == begin


async def test_many_machines_are_asked_for_some_at_a_time(usage, served):
    ids = [f"m-{number}" for number in range(450)]
    found = await usage(HUB_TOKEN, "machines", ids)
    assert [each.subject for each in found] == [f"machine/{each}" for each in ids]
    assert await usage(HUB_TOKEN, "machines", []) == []


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-01T00:00:00"},
        {"from": "yesterday"},
        {"to": "2026-03-01"},
        {"resolution": "0"},
        {"points": "20000"},
        {"begin": "2026-03-01T00:00:00Z"},
    ],
)
async def test_a_range_that_is_none_is_refused_in_a_sentence(served, query):
    async with served.http("alice-read") as http:
        answer = await http.get("/usage", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_too_many_machines_in_one_request_are_refused(served):
    async with served.http("alice-read") as http:
        answer = await http.get("/usage/machines", params={"ids": ",".join(["m-1"] * 201)})
    assert answer.status_code == 400


def test_a_usage_draws_itself():
    usage = Usage(
        subject="machine/m-1",
        start=NOW,
        end=NOW + timedelta(minutes=2),
        resolution=30,
        machines=[1, 1, None, 1],
        cpus=[0.0, 1.0, None, 2.0],
        memory_mib=[512, 512, None, 512],
        disk_read=[None] * 4,
        disk_written=[None] * 4,
        network_received=[0, 0, None, 10],
        network_sent=[0, 5, None, 10],
    )
    assert usage.times[1] - usage.times[0] == timedelta(seconds=30)
    lines = str(usage).splitlines()
    assert lines[0] == "machine/m-1, 2026-01-01 00:00 to 2026-01-01 00:02 UTC"
    assert lines[1:] == [
        "    CPUs ▁▅ █ up to 2",
        "  memory ██ █ up to 512 MiB",
        "    disk      not measured",
        " network ▁▃ █ up to 20 B/s",
    ]


def test_a_long_column_is_drawn_in_a_line():
    usage = Usage(subject="hub", start=NOW, end=NOW, resolution=30, cpus=[float(n) for n in range(1000)])
    assert len(str(usage).splitlines()[1]) < 100
