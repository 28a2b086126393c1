"""Schemathesis against a running controller: what the document allows, and what it does not."""

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
THINGS = {
    "machines": "m-alice",
    "operations": "o-1",
    "volumes": "v-alice",
    "hosts": "local",
    "appliances": "default",
    "feeds": "f-one",
}
THEIRS = {"machines": "m-bob", "operations": "o-2", "volumes": "v-bob"}
"""What is another user's."""
ENDLESS = "/events"
"""Its answer has no end: its beginning is looked at, and then nobody listens any more."""
EXAMPLES = 4
PATIENCE = 40
"""Seconds; more than a request may ask to wait for."""


def fuzz(url, token, document):
    """Return what was wrong, as text."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    schema = schemathesis.openapi.from_dict(document)
    rejected = schema.config.checks.negative_data_rejection
    rejected.expected_statuses = [*rejected.expected_statuses, "413"]  # too large is wrong as well
    failures = []
    for result in schema.get_all_operations():
        operation = result.ok()
        send = _begin if operation.path == ENDLESS else _whole
        for mode in GenerationMode:
            for fixed in _ids(operation.path):
                _run(operation.as_strategy(mode, **fixed), send, url, headers, failures)
    return failures


def _ids(path):
    """Return how the id in a path is chosen: at random, and as ids that exist."""
    if "{id}" not in path:
        return [{}]
    kind = path.split("/")[1]
    known = [THINGS.get(kind, "default"), *([THEIRS[kind]] if kind in THEIRS else [])]
    return [{}, *({"path_parameters": {"id": id_}} for id_ in known)]


def _whole(case, url, headers):
    return case.call(base_url=url, headers=headers, timeout=PATIENCE)


def _begin(case, url, headers):
    request = case.as_transport_kwargs(base_url=url, headers=headers)
    with requests.request(**request, stream=True, timeout=PATIENCE) as answer:
        answer._content = next(answer.iter_content(None), b"")
    return answer


def _run(strategy, send, url, headers, failures):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def once(case):
        case.validate_response(send(case, url, headers), checks=CHECKS, headers=headers)

    try:
        once()
    except Unsatisfiable:
        pass  # nothing can be wrong about a request that takes nothing
    except Exception as error:  # noqa: BLE001 - all of them are what this is for
        failures.append(str(error))
