"""The OpenAPI 3.1 document, made from the table of routes and the types that they name."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_origin

import msgspec

from cernvmapi import errors
from cernvmapi.models import API_PREFIX, Problem
from cernvmcontroller.web.identity import ADMIN, READ, WRITE, Access
from cernvmcontroller.web.queries import NoQuery
from cernvmcontroller.web.route import ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cernvmcontroller.web.route import Route

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_REFS = "#/components/schemas/{name}"
_DESCRIPTION = """\
The controller of CernVM Hub: machines, what they are made of, and what happens to them.

Everybody acts with a JupyterHub token in `Authorization: Bearer …` and its scopes, and sees their own things
only; `custom:cernvm:admin` sees all. Errors are problem details (RFC 9457) with a stable `code`.
"""
_SCOPES = {
    READ: "See one's machines and what they are made of",
    WRITE: "Make, start, stop and delete one's machines, use their consoles, and what read allows",
    ADMIN: "See and act on everybody's machines, hosts and records, and what write allows",
}


@cache
def field_descriptions(cls: type) -> dict[str, str]:
    """Return what the strings below a class's fields say about them, base classes included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not (isinstance(base, type) and issubclass(base, msgspec.Struct) and base is not msgspec.Struct):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for field, text in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                found[field.target.id] = inspect.cleandoc(text.value.value)
    # As they are called in JSON and in queries: `from` is no name that Python allows.
    called = {field.name: field.encode_name for field in msgspec.structs.fields(cls)}
    return {called.get(name, name): text for name, text in found.items()}


def _describe(schema: dict[str, Any], cls: type) -> None:
    for name, text in field_descriptions(cls).items():
        if name in schema.get("properties", {}):
            schema["properties"][name].setdefault("description", text)


def _structs(types: Iterable[Any]) -> dict[str, type]:
    """Return every struct that the types lead to, by name."""
    found: dict[str, type] = {}
    seen: set[Any] = set()
    waiting = [msgspec.inspect.type_info(each) for each in types]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            cls: Any = get_origin(info.cls) or info.cls
            if info.cls in seen:
                continue
            seen.add(info.cls)
            found[cls.__name__] = cls
            waiting += [field.type for field in info.fields]
        for attribute in ("types", "item_type", "value_type", "type"):
            inner = getattr(info, attribute, None)
            if isinstance(inner, msgspec.inspect.Type):
                waiting.append(inner)
            elif isinstance(inner, tuple):
                waiting += [each for each in inner if isinstance(each, msgspec.inspect.Type)]
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out: in a query string there is no null."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in route.path:
        schema = {"type": "string", "pattern": f"^{ID}$"}
        found.append({"name": "id", "in": "path", "required": True, "schema": schema})
    query = route.query or NoQuery
    (reference,), components = msgspec.json.schema_components([query], ref_template=_REFS)
    own = components.pop(reference["$ref"].rpartition("/")[2])
    texts = field_descriptions(query)
    for name, schema in own.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        if name in texts:
            parameter["description"] = texts[name]
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        found.append(parameter)
    if route.path == "/events":
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "schema": {"type": "integer", "minimum": 0},
                "description": "The last event that is known; sent by browsers when they connect again.",
            }
        )
    return found


def _content(route: Route, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if route.result is None:
        return {}
    if isinstance(route.result, str):
        media_type = route.result.partition(";")[0]
        # Bytes have no schema: the media type says all (OpenAPI 3.1, "Considerations for File Uploads").
        schema = {"type": "string"} if media_type.startswith("text/") else {}
        return {"content": {media_type: {"schema": schema}}}
    return {"content": {"application/json": {"schema": schemas[route.result]}}}


def _codes(route: Route) -> dict[str, str]:
    """Return the errors that the route can answer with, by status."""
    possible: list[type[errors.CernVMError]] = [errors.Malformed, errors.CernVMError]
    if route.access is not Access.PUBLIC:
        possible += [errors.Unauthenticated, errors.Forbidden, errors.HubUnreachable]
    if route.needs_machines:
        possible.append(errors.Busy)
    if "{id}" in route.path:
        possible.append(errors.NotFound)
    if route.method != "GET":
        possible += [errors.Conflict, errors.NoRoom, errors.Invalid, errors.HypervisorFailed]
        possible += [errors.HostUnreachable, errors.TooLarge]
    elif route.asks_host:
        possible += [errors.Conflict, errors.HypervisorFailed, errors.HostUnreachable]
    found: dict[str, str] = {}
    for error in possible:
        status = str(error.status)
        found[status] = "; ".join(filter(None, [found.get(status), f"{error.title} (`{error.code}`)"]))
    return dict(sorted(found.items()))


def _operation(route: Route, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": {
            str(status): {"description": "Done", **_content(route, schemas)} for status in route.statuses
        },
        "security": [],
    }
    for status, text in _codes(route).items():
        if int(status) not in route.statuses:
            operation["responses"][status] = {
                "description": text,
                "content": {"application/problem+json": {"schema": _PROBLEM}},
            }
    if route.access.scope is not None:
        operation["security"] = [{"token": [route.access.scope]}]
        operation["description"] = f"Takes the scope `{route.access.scope}`."
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    return operation


def document(routes: Sequence[Route], prefix: str = API_PREFIX) -> dict[str, Any]:
    """Return the OpenAPI document of `routes`."""
    types = list(
        dict.fromkeys(
            each
            for route in routes
            for each in (route.body, route.result)
            if each is not None and not isinstance(each, str)
        )
    )
    queries = [route.query for route in routes if route.query is not None]
    schemas, components = msgspec.json.schema_components([*types, *queries, Problem], ref_template=_REFS)
    for query in queries:
        components.pop(query.__name__, None)
    for name, cls in _structs([*types, Problem]).items():
        for key in (name, *(key for key in components if key.startswith(f"{name}_"))):
            _describe(components.get(key, {}), cls)
    by_type = dict(zip(types, schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    try:
        release = version("cernvmhub")
    except PackageNotFoundError:
        release = "0"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CernVM Hub",
            "version": release,
            "description": _DESCRIPTION,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": prefix}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "\n".join(f"- `{name}`: {text}" for name, text in _SCOPES.items()),
                }
            },
        },
    }
