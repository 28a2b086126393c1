"""Write the REST API's page from the OpenAPI document that the controller serves.

The document is generated from the controller's route table, so the page cannot say anything else than the
code does. It is written to ``reference/generated/rest-api.md``, which ``reference/rest-api.md`` includes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

VERBS = ("get", "post", "put", "patch", "delete")
REFUSALS = ("4", "5")
"""First digits of the statuses that have a problem as their body."""

Json = dict[str, Any]


def page(document: Json) -> str:
    """Return the routes and the models of an OpenAPI document as Markdown."""
    return "\n".join([*_routes(document), *_models(document)]) + "\n"


def _routes(document: Json) -> Iterator[str]:
    groups: dict[str, list[tuple[str, str, Json]]] = {}
    for path, verbs in document["paths"].items():
        for verb in VERBS:
            if verb in verbs:
                name = (verbs[verb].get("tags") or [path.strip("/").split("/")[0]])[0]
                groups.setdefault(name, []).append((verb, path, verbs[verb]))
    yield "## Routes\n"
    for name, routes in groups.items():
        yield f"### {name}\n"
        for verb, path, operation in routes:
            yield from _route(verb, path, operation)


def _route(verb: str, path: str, operation: Json) -> Iterator[str]:
    yield f"#### `{verb.upper()} {path}`\n"
    if text := operation.get("summary"):
        yield f"{_sentence(text)}.\n"
    scopes = [scope for way in operation.get("security", []) for scopes in way.values() for scope in scopes]
    if scopes:
        yield f":Scope: {', '.join(f'`{scope}`' for scope in dict.fromkeys(scopes))}"
    elif "security" in operation:
        yield ":Scope: none; no login needed"
    for parameter in operation.get("parameters", []):
        about = _sentence(parameter.get("description", ""))
        kind = _type(parameter.get("schema", {}))
        yield f":`{parameter['name']}` ({parameter['in']}): {kind}{'. ' + about if about else ''}"
    if body := operation.get("requestBody"):
        yield f":Body: {', '.join(_contents(body))}"
    responses = operation.get("responses", {})
    for status, response in responses.items():
        if not status.startswith(REFUSALS):
            yield f":`{status}`: {', '.join(_contents(response)) or 'no body'}"
    if refused := [f"`{status}`" for status in responses if status.startswith(REFUSALS)]:
        yield f":Errors: {', '.join(refused)}"
    yield ""


def _contents(holder: Json) -> list[str]:
    return [
        _type(content["schema"]) if "schema" in content else f"`{media}`"
        for media, content in holder.get("content", {}).items()
    ]


def _models(document: Json) -> Iterator[str]:
    yield "## Models\n"
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        yield f"({_anchor(name)})="
        yield f"### {_title(name)}\n"
        if text := schema.get("description"):
            yield f"{_sentence(text)}\n"
        if "enum" in schema:
            yield ", ".join(f"`{value}`" for value in schema["enum"]) + "\n"
        fields = schema.get("properties", {})
        if fields:
            yield "| field | type | |\n|---|---|---|"
        for field, about in fields.items():
            needed = "required" if field in schema.get("required", ()) else _default(about)
            text = " ".join(part for part in (_sentence(about.get("description", "")), needed) if part)
            yield f"| `{field}` | {_type(about)} | {text} |".replace("\\|", "&#124;")
        yield ""


def _default(schema: Json) -> str:
    return f"Default: `{schema['default']!r}`." if schema.get("default") not in (None, [], {}, "") else ""


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{_title(name)}](#{_anchor(name)})"
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema.get("anyOf") or schema["oneOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(schema['additionalProperties'])}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    limits = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "≥"), ("maximum", "≤"), ("maxLength", "up to"))
        if key in schema
    ]
    return kind + (f" ({', '.join(limits)})" if limits else "")


def _sentence(text: str) -> str:
    # Docstrings use RST's literals; a paragraph in a table or a field is one line.
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _title(name: str) -> str:
    # msgspec writes Page[Machine] as Page_Machine_.
    kind, _, of = name.removesuffix("_").partition("_")
    return f"{kind} of {of}" if of else name


def _anchor(name: str) -> str:
    return "model-" + "".join(char if char.isalnum() else "-" for char in name).strip("-").lower()


def write(app: Sphinx) -> None:
    """Write the page before Sphinx reads the sources."""
    # Imported here, so that the tests of `page` need no controller.
    from cernvmcontroller.web.openapi import document  # noqa: PLC0415
    from cernvmcontroller.web.routes import ROUTES  # noqa: PLC0415

    target = app.srcdir / "reference" / "generated" / "rest-api.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = page(document(ROUTES))
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
