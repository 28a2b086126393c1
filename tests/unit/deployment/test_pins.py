"""What is installed is what was tested: exact versions, and hashes where the packager has them."""

import json
import re
import tomllib

import pytest


@pytest.fixture
def pins(pytestconfig):
    text = (pytestconfig.rootpath / "deployment/constraints.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_python_package_has_one_version(pins, pytestconfig):
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.+]+", pin)] == []
    names = [canonical(pin.partition("==")[0]) for pin in pins]
    assert len(names) == len(set(names))
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    asked = {canonical(re.match(r"[\w.-]+", each)[0]) for each in wanted}
    assert asked - set(names) == set()


@pytest.mark.parametrize("folder", ["deployment/proxy", "widgets/js"])
def test_every_package_of_node_has_a_version_and_a_hash(pytestconfig, folder):
    lock = json.loads((pytestconfig.rootpath / folder / "package-lock.json").read_text())
    packages = {path: each for path, each in lock["packages"].items() if path}
    assert packages
    for path, package in packages.items():
        assert re.match(r"\d", package["version"]), path
        assert package["integrity"].startswith("sha512-"), path
