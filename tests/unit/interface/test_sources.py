"""The interface's own tests, its size, and that it speaks of the API as it is."""

import gzip
import re
import subprocess
import sys

import msgspec
import pytest
from deployment import interface

import cernvmviews
from cernvmapi import models

BUDGET = 250_000
"""Bytes, compressed, of what a first view loads."""


@pytest.fixture(scope="module", autouse=True)
def built():
    interface.build(tools=True)


def test_its_modules_pass_their_own_tests(pytestconfig):
    command = [sys.executable, "-m", "deployment.interface", "test"]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("entry", ["page.js", "widget.js"])
def test_the_first_view_is_small(entry):
    wanted, loaded = {entry, "views.css"}, {}
    while wanted - loaded.keys():
        name = (wanted - loaded.keys()).pop()
        loaded[name] = cernvmviews.read(name).content
        wanted |= _imports(loaded[name])
    size = sum(len(gzip.compress(content)) for content in loaded.values())
    assert len(loaded) >= 2
    assert size < BUDGET, {name: len(content) for name, content in loaded.items()}


def _imports(script):
    return {name.decode() for name in re.findall(rb'from"\./([\w.-]+)"', script)}


def test_nothing_is_loaded_from_elsewhere():
    for path in cernvmviews.FOLDER.iterdir():
        text = path.read_text()
        assert not re.search(r"(?:url\(|from|import\()\s*[\"']?(?:https?:)?//", text), path.name


def test_no_source_makes_markup_of_text():
    for path in (interface.SOURCES / "src").glob("*.ts"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()
        ), path


@pytest.mark.parametrize(
    "model",
    [models.Machine, models.Host, models.Pool, models.Operation, models.PhaseMark],
    ids=lambda m: m.__name__,
)
def test_the_views_know_no_field_that_the_api_does_not_have(model):
    text = (interface.SOURCES / "src/model.ts").read_text()
    (body,) = re.findall(rf"export interface {model.__name__} \{{(.*?)\n\}}", text, re.DOTALL)
    known = set(re.findall(r"^  (\w+):", body, re.MULTILINE))
    assert known
    assert known <= {field.name for field in msgspec.structs.fields(model)}


def test_every_status_of_a_machine_is_known():
    text = (interface.SOURCES / "src/model.ts").read_text()
    (union,) = re.findall(r"export type Status =([^;]*);", text)
    assert set(re.findall(r'"(\w+)"', union)) == {status.value for status in models.Status}
