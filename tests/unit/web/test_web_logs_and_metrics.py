"""What the controller says of itself."""

import io
import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmcontroller.web.logs import configure, logger


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure("INFO", as_json=True, stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_request_is_one_line_of_json(lines, served):
    async with served.http("alice-read") as http:
        await http.get("/machines?search=private", headers={"X-Request-ID": "r-1"})
    (line,) = [line for line in lines() if line["event"] == "request"]
    assert {"request_id": "r-1", "user": "alice", "method": "GET", "status": 200}.items() <= line.items()
    assert line["path"].endswith("/machines")
    assert "private" not in json.dumps(lines())
    assert "alice-read" not in json.dumps(lines())


def test_libraries_and_we_write_the_same_format(lines):
    logging.getLogger("tornado.application").warning("from %s", "a library")
    logger("cernvmcontroller.test").warning("from us", machine="m-1")
    theirs, ours = lines()
    assert theirs.keys() | {"machine"} == ours.keys()
    assert theirs["event"] == "from a library"


def test_a_traceback_is_part_of_its_line(lines):
    secret = "very-secret"
    try:
        assert secret
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logger("x").exception("it broke")
    (line,) = lines()
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert not any(frame.get("locals") for frame in line["exception"][0]["frames"])


def test_people_get_text():
    stream = io.StringIO()
    configure("INFO", stream=stream)
    logger("x").info("hello", machine="m-1")
    assert "hello" in stream.getvalue()
    assert "machine=m-1" in stream.getvalue()


def samples(text, name):
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


async def test_requests_are_measured_by_route_and_not_by_path(served):
    async with served.http("alice-read") as http:
        await http.get("/machines/m-alice")
        await http.get("/machines/m-none")
        await http.delete("/machines/m-alice")
    async with served.http("prometheus") as http:
        text = (await http.get("/metrics")).text
    counted = samples(text, "cernvm_request_seconds_count")
    assert {(dict(key)["route"], dict(key)["status"]) for key in counted} == {
        ("get_machine", "200"),
        ("get_machine", "404"),
        ("delete_machine", "403"),
    }
    assert samples(text, "cernvm_requests_refused_total") == {(("code", "forbidden"),): 1.0}
    assert samples(text, "process_open_fds")


async def test_listeners_are_counted(served):
    async with served.http(HUB_TOKEN) as http, http.stream("GET", "/events") as stream:
        chunks = stream.aiter_bytes()  # kept: without it the stream is closed
        await anext(chunks)
        text = (await http.get("/metrics")).text
    assert samples(text, "cernvm_event_subscribers") == {(): 1.0}


async def test_machines_and_hosts_are_counted_when_somebody_asks(served):
    async with served.http("prometheus") as http:
        text = (await http.get("/metrics")).text
        machines = {dict(key)["status"]: value for key, value in samples(text, "cernvm_machines").items()}
        assert machines["failed"] == 0
        assert sum(machines.values()) == len(served.engine.machines.rows)
        for row in list(served.engine.machines.rows):
            del served.engine.machines.rows[row]
        text = (await http.get("/metrics")).text
    assert sum(samples(text, "cernvm_machines").values()) == 0
    hosts = await served.engine.inventory.hosts()
    assert samples(text, "cernvm_hosts")[("alive", "yes"),] == sum(host.alive for host in hosts)
