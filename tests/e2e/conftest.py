"""One installation for all end-to-end tests: it is started once, with the appliance built once."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.installation import Installation
from tests.e2e.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

ARTIFACTS = Path(__file__).parents[1] / "artifacts"

running: list[Installation] = []


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """A running hub with two versions of the default appliance."""
    # Not pytest's: an interrupted session lets go of its folders before it ends its fixtures, and without
    # its state an installation can no longer be cleaned.
    folder = Path(tempfile.mkdtemp(prefix="cernvmhub-e2e-"))
    made = Installation(folder)
    running.append(made)
    try:
        made.sweep()
        made.configure()
        made.start()
        yield made
    finally:
        made.clean()
        left = made.traces()
    shutil.rmtree(folder)
    assert left == set(), "make clean must leave nothing"


@pytest.fixture(scope="module")
def physicist(installation: Installation) -> Iterator[Person]:
    with Person(installation.settings.url, "physicist", installation.accounts["physicist"]) as person:
        yield person


@pytest.fixture(scope="module")
def admin(installation: Installation) -> Iterator[Person]:
    with Person(installation.settings.url, "admin", installation.accounts["admin"]) as person:
        yield person


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show with a failure what hub, controller, proxy and consoles wrote; remember it for the next step."""
    report = yield
    if report.failed:
        for installation in running:
            with contextlib.suppress(OSError):
                report.sections += [(f"end of {name}", text) for name, text in installation.logs().items()]
        if item.cls is not None and call.when in {"setup", "call"}:
            item.cls.broken = getattr(item.cls, "broken", None) or item.name
    return report


@pytest.fixture(autouse=True)
def story_is_intact(request: pytest.FixtureRequest) -> None:
    """Fail a step of a story at once when an earlier one failed: its consequences say nothing."""
    broken = getattr(request.cls, "broken", None)
    if broken:
        pytest.fail(f"an earlier step failed: {broken}")
