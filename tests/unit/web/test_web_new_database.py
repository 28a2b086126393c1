"""While not all machines are known: what takes them for granted is refused, the rest goes on."""

import pytest
from tests.unit.web.fakehub import HUB_TOKEN

WHY = "The database is new and not all hosts have answered yet: the machines of host2 are not known."
CHANGES = [
    ("POST", "/machines"),
    ("DELETE", "/machines/m-alice"),
    ("POST", "/machines/m-alice/start"),
    ("POST", "/machines/m-alice/shutdown"),
    ("DELETE", "/volumes/v-alice"),
    ("DELETE", "/operations/o-1"),
]
LOOKS = ["/machines", "/machines/m-alice", "/machines/m-alice/console", "/volumes", "/operations", "/events"]


@pytest.mark.parametrize(("method", "path"), [*CHANGES, *(("GET", path) for path in LOOKS)])
async def test_nothing_is_said_of_machines_that_may_not_be_known(served, method, path):
    served.engine.unknown = WHY
    async with served.http(HUB_TOKEN) as http:
        response = await http.request(method, path)
    problem = response.json()
    assert (response.status_code, problem["code"], problem["detail"]) == (503, "busy", WHY)
    assert served.engine.audit.rows == []
    assert set(served.engine.machines.rows) == {"m-alice", "m-bob"}


@pytest.mark.parametrize(
    "path", ["/hosts", "/hosts/local", "/pools", "/appliances", "/flavors", "/health", "/audit"]
)
async def test_what_helps_to_find_out_why_still_works(served, path):
    served.engine.unknown = WHY
    async with served.http("carol-admin") as http:
        assert (await http.get(path)).status_code == 200


async def test_who_may_not_ask_is_not_told_either(served):
    served.engine.unknown = WHY
    async with served.http() as http:
        assert (await http.get("/machines")).status_code == 401
    async with served.http("alice-read") as http:
        assert (await http.post("/machines", json={})).status_code == 403
