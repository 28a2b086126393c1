"""The documentation builds without a warning, and what it takes from the code is all there."""

import importlib.util
import subprocess
import sys

import pytest

from cernvmcontroller.app import CernVMController
from cernvmcontroller.web.openapi import document
from cernvmcontroller.web.routes import ROUTES
from cernvmextension import CernVMExtension
from cernvmspawner import CernVMSpawner


@pytest.fixture(scope="module")
def root(pytestconfig):
    return pytestconfig.rootpath


@pytest.fixture
def restapi(root):
    spec = importlib.util.spec_from_file_location("restapi", root / "docs/_extensions/restapi.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DOCUMENT = {
    "paths": {
        "/machines/{id}": {
            "get": {
                "tags": ["machines"],
                "summary": "Get a machine",
                "security": [{"token": ["custom:cernvm:read"]}],
                "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Page_Machine_"}}
                        }
                    },
                    "404": {"description": "Not found"},
                },
            },
        },
        "/health": {"get": {"tags": ["site"], "summary": "Say how it is", "security": [], "responses": {}}},
    },
    "components": {
        "schemas": {
            "Page_Machine_": {
                "description": "One ``page``.",
                "properties": {
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Machine"}},
                    "total": {"type": "integer", "minimum": 0, "description": "a|b"},
                    "next": {
                        "anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}],
                        "default": None,
                    },
                    "event_id": {"type": "integer", "default": 3},
                },
                "required": ["items"],
            },
            "Machine": {"enum": ["on", "off"]},
        }
    },
}


def test_a_route_has_its_scope_parameters_and_answers(restapi):
    text = restapi.page(DOCUMENT)
    assert "#### `GET /machines/{id}`\n\nGet a machine.\n" in text
    assert ":Scope: `custom:cernvm:read`\n:`id` (path): string\n" in text
    assert ":`200`: [Page of Machine](#model-page-machine)\n:Errors: `404`\n" in text


def test_a_route_that_needs_no_login_says_so(restapi):
    assert ":Scope: none; no login needed" in restapi.page(DOCUMENT)


def test_a_model_is_a_table_of_its_fields(restapi):
    text = restapi.page(DOCUMENT)
    assert "(model-page-machine)=\n### Page of Machine\n\nOne `page`.\n" in text
    assert "| `items` | list of [Machine](#model-machine) | required |" in text
    assert "| `total` | integer (≥ 0) | a&#124;b |" in text
    assert "| `next` | string (up to 9) or null |  |" in text
    assert "| `event_id` | integer | Default: `3`. |" in text
    assert "`on`, `off`" in text


def test_every_route_of_the_controller_is_on_the_page(restapi):
    text = restapi.page(document(ROUTES))
    for route in ROUTES:
        assert f"#### `{route.method} {route.path}`" in text


def options_without_help():
    for cls in (CernVMController, CernVMExtension, CernVMSpawner):
        for name, trait in cls.class_traits(config=True).items():
            if trait.this_class.__module__.startswith("cernvm") and not trait.help.strip():
                yield f"{cls.__name__}.{name}"


def test_every_option_says_what_it_does():
    assert list(options_without_help()) == []


def test_prose_is_read_without_scrolling(root):
    long = [
        f"{page.relative_to(root)}:{number}"
        for page in [*(root / "docs").rglob("*.md"), root / "README.md", root / "CHANGELOG.md"]
        if not {"generated", "_build"} & set(page.parts)
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if len(line) > 120 and not line.startswith("|")  # a row of a table is one line
    ]
    assert long == []


def test_the_documentation_builds_without_a_warning(root, tmp_path):
    built = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"),
            *("-d", str(tmp_path / "doctrees"), str(root / "docs"), str(tmp_path / "html")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = {page.relative_to(tmp_path / "html").parent.name for page in (tmp_path / "html").rglob("*.html")}
    assert {"tutorial", "howto", "reference", "explanation", "decisions"} <= pages
    reference = tmp_path / "html/reference"
    assert "c.CernVMController." in (reference / "controller.html").read_text()
    assert "c.CernVMSpawner." in (reference / "spawner.html").read_text()
    assert "c.CernVMExtension.owner" in (reference / "extension.html").read_text()
