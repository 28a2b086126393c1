"""Imports point one way: the contract knows nobody, the four around it know it and the interface's files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = {
    "cernvmapi": "controller",
    "cernvmcontroller": "controller",
    "cernvmspawner": "spawner",
    "cernvmextension": "extension",
    "cernvmwidgets": "widgets",
    "cernvmviews": "widgets",
    "cernvmagent": "appliance",
}

MAY_KNOW = {
    "cernvmapi": set(),
    "cernvmcontroller": {"cernvmapi", "cernvmviews"},
    "cernvmspawner": {"cernvmapi"},
    "cernvmextension": {"cernvmapi", "cernvmviews"},
    "cernvmwidgets": {"cernvmapi", "cernvmviews"},
    "cernvmviews": set(),
    "cernvmagent": set(),
}

OUTSIDE = set(FOLDERS) | {"deployment", "tests", "recipe", "bench"}
"""What is ours; everything else is a library."""


def imported(package: str) -> dict[str, set[str]]:
    """Return, for each top-level module that the package imports, the files that do."""
    found: dict[str, set[str]] = {}
    folder = ROOT / FOLDERS[package] / package
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(file.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", FOLDERS)
def test_a_package_knows_only_whom_it_may(package: str) -> None:
    own = {package} | MAY_KNOW[package]
    wrong = {name: sorted(files) for name, files in imported(package).items() if name in OUTSIDE - own}
    assert wrong == {}


def test_the_agent_needs_nothing_but_the_standard_library() -> None:
    wrong = {name for name in imported("cernvmagent") if name not in sys.stdlib_module_names}
    assert wrong <= {"cernvmagent"}


@pytest.mark.parametrize("package", ["cernvmapi", "cernvmspawner", "cernvmextension", "cernvmwidgets"])
def test_only_the_controller_needs_libvirt(package: str) -> None:
    assert "libvirt" not in imported(package)


@pytest.mark.parametrize("package", ["cernvmapi", "cernvmwidgets"])
def test_a_notebook_that_drives_the_cluster_needs_no_hub(package: str) -> None:
    assert "jupyterhub" not in imported(package)


def test_the_client_works_in_an_appliance_that_has_no_websockets():
    """The layer is newer than the appliance below it: only a console may need what that does not have."""
    code = "import sys; sys.modules['websockets'] = None; import cernvmwidgets, cernvmextension.app"
    subprocess.run([sys.executable, "-c", code], check=True)
