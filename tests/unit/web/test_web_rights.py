"""Who may do what: each route for each kind of somebody."""

import pytest
from tests.unit.web.fakehub import HUB_TOKEN

from cernvmapi.models import OperationStatus
from cernvmcontroller.web.identity import Access
from cernvmcontroller.web.routes import ROUTES

SOMEBODIES = {
    "anonymous": None,
    "unknown token": "who-knows",
    "no scope": "dave-nothing",
    "scope about another": "alice-of-bob",
    "admin scope about another": "alice-admin-of-bob",
    "read": "alice-read",
    "write": "alice-write",
    "own": "alice-own",
    "other": "bob-write",
    "service": "prometheus",
    "admin": "carol-admin",
    "hub": HUB_TOKEN,
}
_READERS = {"read", "write", "own", "other", "service", "admin", "hub"}
MAY = {
    Access.PUBLIC: set(SOMEBODIES),
    Access.READ: _READERS,
    Access.WRITE: {"write", "own", "other", "admin", "hub"},
    Access.ADMIN: {"admin", "hub"},
    Access.MONITOR: {"service", "admin", "hub"},
}
NOBODY = {"anonymous", "unknown token"}
SEES_ALICES = {"read", "write", "own", "admin", "hub"}
ONLY_THE_HUB = {"put_machine_session"}
THINGS = {"machines": "m-alice", "operations": "o-1", "volumes": "v-alice"}
SITE = {"appliances": "default", "hosts": "local", "clusters": "default", "feeds": "f-one"}
BODIES = {
    "attach_host": {"name": "far", "uris": ["qemu+tls://far/system"]},
    "try_host": {"uri": "qemu+tls://far/system"},
    "create_cluster": {"id": "physics"},
    "act_on_machines": {"action": "reboot", "ids": ["m-alice"]},
    "create_feed": {"url": "https://feeds.example/two.rss"},
    "revert_machine": {"snapshot": "before"},
    "put_machine_xml": {"xml": "<domain><name>m-alice</name></domain>"},
}
"""What is sent where an empty object is not enough."""

QUERIES = {"delete_snapshot": "?name=before"}


def expected(route, somebody):
    """Return the statuses that are right."""
    if route.access is Access.PUBLIC:
        return {200}
    if somebody in NOBODY:
        return {401}
    if somebody not in MAY[route.access]:
        return {403}
    if route.name in ONLY_THE_HUB and somebody != "hub":
        return {403}
    kind = route.path.split("/")[1]
    if "{id}" in route.path and kind in THINGS and somebody not in SEES_ALICES:
        return {404}
    return set(route.statuses)


@pytest.mark.parametrize("somebody", SOMEBODIES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_each_route_lets_in_who_may_and_nobody_else(served, route, somebody):
    kind = route.path.split("/")[1]
    path = route.path.replace("{id}", {**THINGS, **SITE}.get(kind, "")) + QUERIES.get(route.name, "")
    wanted = expected(route, somebody)
    body = {"json": BODIES.get(route.name, {})} if route.method in {"POST", "PUT", "PATCH"} else {}
    async with (
        served.http(SOMEBODIES[somebody]) as http,
        http.stream(route.method, path, **body) as response,
    ):
        assert response.status_code in wanted
        if response.status_code >= 400:
            problem = (await response.aread()) and response.json()
            assert response.headers["Content-Type"] == "application/problem+json"
            assert problem["status"] == response.status_code
            assert problem["detail"].endswith((".", "revoked."))
            assert problem["instance"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize("somebody", ["anonymous", "read", "other", "service"])
async def test_what_is_refused_is_not_done(served, somebody):
    before = dict(served.engine.machines.rows)
    async with served.http(SOMEBODIES[somebody]) as http:
        for verb in ("start", "shutdown", "poweroff", "reboot"):
            await http.post(f"/machines/m-alice/{verb}", json={})
        await http.patch("/machines/m-alice", json={"name": "taken", "owner": "bob"})
        await http.delete("/machines/m-alice")
        await http.delete("/volumes/v-alice")
        await http.delete("/operations/o-1")
    assert served.engine.machines.rows == before
    assert "v-alice" in served.engine.volumes.rows
    assert served.engine.audit.rows == []


async def test_lists_show_ones_own_and_an_administrator_everything(served):
    for path in ("/machines", "/volumes", "/operations"):
        for token, owners in (
            ("alice-read", {"alice"}),
            ("bob-write", {"bob"}),
            ("prometheus", set()),
            ("carol-admin", {"alice", "bob"}),
            (HUB_TOKEN, {"alice", "bob"}),
        ):
            async with served.http(token) as http:
                items = (await http.get(path)).json()["items"]
            assert {item["owner"] for item in items} == owners


async def test_asking_for_another_users_list_is_refused(served):
    async with served.http("alice-write") as http:
        assert (await http.get("/machines?owner=bob")).status_code == 403
        assert (await http.get("/machines?owner=alice")).status_code == 200
    async with served.http("carol-admin") as http:
        assert (await http.get("/machines?owner=bob")).json()["total"] == 1


async def test_whose_a_machine_is_is_for_the_hub_to_say_and_what_it_is_called_for_its_owner(served):
    async with served.http("alice-write") as http:
        for wish in ({"owner": "bob"}, {"server_name": "x"}, {"owner_id": "1"}):
            assert (await http.patch("/machines/m-alice", json=wish)).status_code == 403
        answer = await http.patch("/machines/m-alice", json={"name": "Thesis", "notes": "n"})
        assert (answer.status_code, answer.json()["name"]) == (200, "Thesis")
        assert (await http.patch("/machines/m-bob", json={"name": "x"})).status_code == 404
        assert (await http.patch("/machines/m-alice", json={"host": "x"})).status_code == 400
    async with served.http(HUB_TOKEN) as http:
        assert (await http.patch("/machines/m-alice", json={"owner": "bob"})).json()["owner"] == "bob"


async def test_what_belongs_to_others_looks_like_what_does_not_exist(served):
    async with served.http("alice-write") as http:
        for path in ("/machines/m-{}", "/volumes/v-{}", "/machines/m-{}/console"):
            theirs, nobodys = await http.get(path.format("bob")), await http.get(path.format("bod"))
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.json()["detail"].replace("bob", "bod") == nobodys.json()["detail"]


async def test_another_users_operation_looks_like_one_that_does_not_exist(served):
    for token in ("alice-write", "alice-own", "prometheus"):
        async with served.http(token) as http:
            for ask in (http.get, http.delete):
                theirs, nobodys = await ask("/operations/o-2"), await ask("/operations/o-999")
                refused = 403 if token == "prometheus" and ask == http.delete else 404
                assert theirs.status_code == nobodys.status_code == refused
                assert theirs.json()["detail"].replace("o-2", "o-999") == nobodys.json()["detail"]
            assert (await http.get("/operations?subject=machine/m-bob")).json()["total"] == 0
    assert served.engine.operations.rows["o-2"].status is OperationStatus.RUNNING


async def test_the_audit_record_is_for_administrators(served):
    async with served.http("bob-write") as http:
        await http.post("/machines/m-bob/start", json={})
    for token in ("alice-write", "alice-own", "alice-admin-of-bob", "bob-write", "prometheus", None):
        async with served.http(token) as http:
            for query in ("", "?actor=bob", "?subject=machine/m-bob"):
                answer = await http.get(f"/audit{query}")
                assert answer.status_code == (403 if token else 401), token
                assert "m-bob" not in answer.text
    async with served.http("carol-admin") as http:
        (record,) = (await http.get("/audit?actor=bob")).json()["items"]
    assert (record["actor"], record["subject"]) == ("bob", "machine/m-bob")


async def test_a_user_makes_machines_for_themselves_only(served):
    async with served.http("alice-write") as http:
        made = (await http.post("/machines", json={})).json()
        assert made["owner"] == "alice"
        for body in (
            {"owner": "bob"},
            {"host": "local"},
            {"cluster": "c"},
            {"notebook": True},
            {"owner_id": "1"},
            {"adopt_home": True},
        ):
            assert (await http.post("/machines", json=body)).status_code == 403
        for body in ({"vcpus": 64}, {"memory_mib": 65536}, {"home": True, "home_mib": 1048576}):
            assert (await http.post("/machines", json=body)).status_code == 403
    async with served.http("carol-admin") as http:
        assert (await http.post("/machines", json={"owner": "bob"})).json()["owner"] == "bob"
        assert (await http.post("/machines", json={})).json()["owner"] == "carol"
    async with served.http(HUB_TOKEN) as http:
        asked = {"owner": "Ursulä ☕", "notebook": True, "server_name": "", "host": "local"}
        first, again = [await http.post("/machines", json=asked) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


async def test_a_service_is_not_the_user_of_the_same_name(served):
    async with served.http("service-alice") as http:
        assert (await http.get("/machines")).json()["total"] == 0
        assert (await http.get("/machines?owner=alice")).status_code == 403
        assert (await http.delete("/machines/m-alice")).status_code == 404
        assert (await http.post("/machines", json={})).status_code == 403


async def test_only_the_hub_hands_over_secrets(served):
    session = {"env": {"JUPYTERHUB_API_TOKEN": "secret"}}
    async with served.http("alice-write") as http:
        refused = await http.post("/machines/m-alice/start", json={"session": session})
        assert refused.status_code == 403
        assert (await http.post("/machines/m-alice/start")).status_code == 202
    assert served.engine.machines.sessions == {}
    async with served.http(HUB_TOKEN) as http:
        assert (await http.post("/machines/m-alice/start", json={"session": session})).status_code == 202
        assert (await http.put("/machines/m-bob/session", json=session)).status_code == 200
        assert (await http.put("/machines/m-bob/session")).status_code == 400
    assert set(served.engine.machines.sessions) == {"m-alice", "m-bob"}


async def test_who_may_only_read_is_offered_no_actions(served):
    async with served.http("alice-read") as http:
        assert (await http.get("/machines/m-alice")).json()["actions"] == []
    async with served.http("alice-write") as http:
        assert (await http.get("/machines")).json()["items"][0]["actions"] == ["start", "delete"]


async def test_hidden_appliances_are_for_administrators(served):
    async with served.http("alice-write") as http:
        assert [each["id"] for each in (await http.get("/appliances")).json()["items"]] == ["default"]
        assert (await http.get("/appliances/secret")).status_code == 404
        hidden, unknown = [await http.post("/machines", json={"appliance": n}) for n in ("secret", "none")]
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.json()["detail"] == "There is no appliance secret; there are default."
        assert hidden.json()["detail"].replace("secret", "none") == unknown.json()["detail"]
        assert (await http.post("/machines", json={"appliance": "default"})).status_code == 201
    async with served.http("carol-admin") as http:
        assert (await http.get("/appliances/secret")).status_code == 200
        assert (await http.post("/machines", json={"appliance": "secret"})).status_code == 201


async def test_feeds_and_the_catalogue_are_for_administrators(served):
    before = dict(served.engine.feeds.rows)
    for token in (None, "alice-read", "alice-write", "prometheus"):
        async with served.http(token) as http:
            await http.post("/feeds", json={"url": "https://feeds.example/two.rss"})
            await http.patch("/feeds/f-one", json={"title": "mine"})
            await http.post("/feeds/f-one/refresh")
            await http.delete("/feeds/f-one")
            assert (await http.get("/catalogue")).status_code in {401, 403}
    assert served.engine.feeds.rows == before
    assert served.engine.audit.rows == []


async def test_a_revoked_token_changes_nothing_from_then_on(served):
    async with served.http("alice-write") as http:
        assert (await http.get("/machines")).status_code == 200
        del served.hub.tokens["alice-write"]
        assert (await http.post("/machines/m-alice/start")).status_code == 401


async def test_reading_asks_the_hub_once_a_minute(served):
    async with served.http("alice-read") as http:
        for _ in range(5):
            await http.get("/machines")
    assert served.hub.asked == 1


async def test_the_spawner_is_served_while_the_hub_is_down(served):
    served.hub.broken = True
    async with served.http(HUB_TOKEN) as http:
        assert (await http.get("/machines")).status_code == 200
    async with served.http("alice-read") as http:
        refused = await http.get("/machines")
    assert refused.status_code == 503
    assert refused.json()["code"] == "hub-unreachable"
    assert str(served.hub.port) not in refused.text


async def test_audit_names_who_and_from_where_and_which_request(served):
    headers = {"X-Request-ID": "abc-1", "X-Forwarded-For": "6.6.6.6, 192.0.2.7", "X-Real-IP": "6.6.6.6"}
    async with served.http("alice-write") as http:
        response = await http.post("/machines/m-alice/start", headers=headers)
    assert response.headers["X-Request-ID"] == "abc-1"
    (record,) = served.engine.audit.rows
    assert (record.actor, record.address, record.request_id) == ("alice", "192.0.2.7", "abc-1")
    async with served.http(HUB_TOKEN) as http:
        await http.post("/machines/m-alice/start", headers={"X-Request-ID": "bad id\u00e9".encode()})
    assert served.engine.audit.rows[-1].actor == "service:jupyterhub"
    assert len(served.engine.audit.rows[-1].request_id) == 32


async def test_health_tells_strangers_no_details(served):
    async with served.http() as http:
        assert (await http.get("/health")).json() == {
            "status": "ok", "version": "", "hub_id": "", "start_timeout": 0, "components": [],
        }  # fmt: skip
        assert (await http.get("/health/details")).status_code == 401
        served.engine.status = "down"
        assert (await http.get("/health")).status_code == 503
        assert (await http.get("/health", params={"live": "true"})).status_code == 200
    for token, status in (("alice-write", 403), ("prometheus", 503), ("carol-admin", 503)):
        async with served.http(token) as http:
            answer = await http.get("/health/details")
        assert (answer.status_code, "node7" in answer.text) == (status, status == 503)


async def test_a_token_that_lost_a_right_is_known_as_such_from_the_first_refusal(served):
    async with served.http("alice-write") as http:
        assert (await http.get("/machines")).status_code == 200
        served.hub.tokens["alice-write"] = ("user", "alice", [])
        assert (await http.post("/machines/m-alice/start")).status_code == 403
        assert (await http.get("/machines")).status_code == 403, "what was known of it is forgotten"


@pytest.mark.parametrize("somebody", ["anonymous", "read", "other", "service", "no scope"])
async def test_no_refused_request_changes_anything(served, somebody):
    """For every route of the table that changes something, those that come included."""
    engine = served.engine
    before = [dict(engine.machines.rows), dict(engine.volumes.rows), dict(engine.operations.rows)]
    refused = 0
    async with served.http(SOMEBODIES[somebody]) as http:
        for route in ROUTES:
            if route.method == "GET" or "{id}" not in route.path:
                continue
            kind = route.path.split("/")[1]
            path = route.path.replace("{id}", {**THINGS, **SITE}.get(kind, "m-alice"))
            path += QUERIES.get(route.name, "")
            answer = await http.request(route.method, path, json=BODIES.get(route.name, {}))
            assert answer.status_code in {401, 403, 404}, route.name
            refused += 1
    assert refused >= 8
    assert [engine.machines.rows, engine.volumes.rows, engine.operations.rows] == before
    assert engine.audit.rows == []
    assert engine.machines.sessions == {}
