"""The OpenAPI document says what the controller does, and the controller does what it says."""

import asyncio
import importlib
import json
import re

import jsonschema
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31
from tests.unit.web.fakehub import HUB_TOKEN
from tests.unit.web.fuzzing import THINGS, fuzz

from cernvmapi import client as clients
from cernvmapi import models
from cernvmapi.verb import verb
from cernvmcontroller.web import openapi
from cernvmcontroller.web.identity import Access
from cernvmcontroller.web.routes import ROUTES


@pytest.fixture(scope="module")
def document():
    return json.loads(models.encode(openapi.document(ROUTES)))


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_route_is_in_the_document_and_nothing_else(document):
    written = {(method.upper(), path) for path, verbs in document["paths"].items() for method in verbs}
    assert written == {(route.method, route.path) for route in ROUTES}
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_every_route_names_its_scope(document):
    for route in ROUTES:
        security = document["paths"][route.path][route.method.lower()]["security"]
        if route.access is Access.PUBLIC:
            assert security == []
        else:
            assert security == [{"token": [route.access.scope]}]


def test_only_what_strangers_may_see_is_public():
    assert {route.path for route in ROUTES if route.access is Access.PUBLIC} == {"/health", "/openapi.json"}


def test_everything_that_changes_something_takes_more_than_read():
    for route in ROUTES:
        if route.method != "GET":
            assert route.access in {Access.WRITE, Access.ADMIN}, route.name


def test_the_document_is_openapi(document):
    jsonschema.validate(document, OPENAPI_31)


def test_its_schemas_are_json_schemas_and_its_references_lead_somewhere(document):
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_models_are_described_by_their_own_words(document):
    machine = document["components"]["schemas"]["Machine"]
    assert "hub user" in machine["properties"]["owner"]["description"]
    parameters = document["paths"]["/machines"]["get"]["parameters"]
    assert all("description" in parameter for parameter in parameters)


async def test_the_served_document_is_this_one(served, document):
    async with served.http() as http:
        assert (await http.get("/openapi.json")).json() == document


async def test_answers_fit_their_schemas(served, document):
    async with served.http(HUB_TOKEN) as http:
        for route in ROUTES:
            if route.method != "GET" or isinstance(route.result, str):
                continue
            path = route.path.replace("{id}", THINGS.get(route.path.split("/")[1], "default"))
            response = await http.get(path)
            content = document["paths"][route.path]["get"]["responses"]["200"]["content"]
            schema = {**content["application/json"]["schema"], "components": document["components"]}
            jsonschema.validate(response.json(), schema)


GROUPS = {
    "MachineVerbs": "Machines",
    "OperationVerbs": "Operations",
    "VolumeVerbs": "Volumes",
    "ApplianceVerbs": "Appliances",
    "FlavorVerbs": "Flavors",
    "HostVerbs": "Hosts",
    "ClusterVerbs": "Clusters",
    "NetworkVerbs": "Networks",
    "PoolVerbs": "Pools",
    "FeedVerbs": "Feeds",
    "CatalogueVerbs": "Catalogue",
    "AuditVerbs": "Audit",
    "UsageVerbs": "UsageOf",
    "LifecycleVerbs": "Machines",
    "DefinitionVerbs": "Machines",
}


class Recorder:
    """Answers calls without sending them and remembers what they were."""

    def __init__(self):
        self.calls = set()

    def send(self, call):
        self.calls.add((call.method, re.sub(r"/ID\b", "/{id}", call.path)))
        raise InterruptedError


def test_the_client_has_a_verb_for_every_route_and_no_other():
    recorder = Recorder()
    parts = ("", "machine", "lifecycle", "definition", "catalogue", "host", "usage")
    groups = {}
    for part in parts:
        groups |= vars(importlib.import_module(f"cernvmapi.{part}verbs"))
    for name, group in groups.items():
        if not name.endswith("Verbs"):
            continue
        made = getattr(clients, GROUPS[name])(recorder)
        for attribute, value in vars(group).items():
            if not isinstance(value, verb):
                continue
            arguments = {"get": ["ID"], "delete": ["ID"], "cancel": ["ID"], "wait": ["ID"], "console": ["ID"],
                         "start": ["ID"], "shutdown": ["ID"], "poweroff": ["ID"], "reboot": ["ID"],
                         "suspend": ["ID"], "resume": ["ID"], "reset": ["ID"], "store": ["ID"],
                         "lock": ["ID"], "unlock": ["ID"], "act": ["reset", ["m-1"]],
                         "put_session": ["ID", models.Session()],
                         "change": ["ID"], "refresh": ["ID"], "machine": ["ID"], "host": ["ID"],
                         "appliance": ["ID"], "cluster": ["ID"], "machines": [["m-1"]],
                         "open_console": ["ID"], "screenshot": ["ID"], "press": ["ID"], "look": ["ID"],
                         "detach": ["ID"], "move": ["ID"], "drain": ["ID"], "evacuate": ["ID"],
                         "snapshots": ["ID"], "xml": ["ID"], "put_xml": ["ID", "<domain/>"],
                         "reset_xml": ["ID"], "hardware": ["ID"], "change_hardware": ["ID"],
                         "definitions": ["ID"], "domains": ["ID"], "snapshot": ["ID"],
                         "revert": ["ID", "before"],
                         "forget_snapshot": ["ID", "before"], "put_members": ["ID"], "test": ["qemu:///system"],
                         "attach": ["far", "qemu:///system"]}.get(attribute, [])  # fmt: skip
            if (name, attribute) == ("FeedVerbs", "create"):
                arguments = ["https://feeds.example/one.rss"]
            if (name, attribute) == ("ClusterVerbs", "create"):
                arguments = ["physics"]
            with pytest.raises(InterruptedError):
                getattr(made, attribute)(*arguments)
    own = {("GET", path) for path in ("/events", "/health", "/health/details", "/metrics", "/openapi.json")}
    assert recorder.calls | own == {(route.method, route.path) for route in ROUTES}


ROLES = {
    "anonymous": None,
    "read": "alice-read",
    "write": "alice-write",
    "notebook server": "alice-notebook",
    "service": "prometheus",
    "admin": "carol-admin",
    "hub": HUB_TOKEN,
}


def standing(engine):
    """Return everything that there is."""
    kinds = ("machines", "volumes", "operations", "feeds", "repository")
    return {kind: dict(getattr(engine, kind).rows) for kind in kinds}


def of(owner, rows):
    return {
        kind: {id_: row for id_, row in found.items() if row.owner == owner} for kind, found in rows.items()
    }


@pytest.mark.parametrize("role", ROLES)
async def test_whatever_is_sent_the_controller_makes_no_mistake(served, document, role):
    """Schemathesis sends what the document allows and what it does not.

    No answer is a 5xx of our own, and nobody does or reaches more than they may.
    """
    engine, token = served.engine, ROLES[role]
    for operation in list(engine.operations.rows):  # else who waits for one takes half a minute
        await engine.operations.finish(operation)
    before = standing(engine)
    # In a thread: schemathesis is sync, and the server runs in this loop.
    failures = await asyncio.to_thread(fuzz, served.url, token, document)
    assert failures == []
    after = standing(engine)
    if role in {"admin", "hub"}:
        return
    for each in ("feeds", "repository"):
        assert after.pop(each) == before.pop(each)
    if role not in {"write", "notebook server"}:
        assert after == before
        assert engine.audit.rows == []
        return
    assert of("bob", after) == of("bob", before)
    assert {row.owner for rows in after.values() for row in rows.values()} == {"alice", "bob"}
    touched = {record.subject for record in engine.audit.rows}
    assert "machine/m-alice" in touched, "it does what it may"
    assert not touched & {"machine/m-bob", "volume/v-bob", "operation/o-2"}
    assert {record.actor for record in engine.audit.rows} == {"alice"}
