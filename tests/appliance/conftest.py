"""The images, built once, and the guests of a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.appliance.guest import Guest

ROOT = Path(__file__).resolve().parents[2]


def built(what: str) -> Path:
    """Find an image, built before or now."""
    done = subprocess.run(
        [sys.executable, ROOT / "appliance/build", what], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def tiny() -> Path:
    return built("tiny").with_name("tiny.qcow2")


@pytest.fixture(scope="session")
def appliance() -> Path:
    return built("default").with_name("appliance.qcow2")


@pytest.fixture(scope="session")
def layer() -> Path:
    return built("layer")


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[list[Guest]]:
    """Put a guest here and it is ended with the test."""
    guests: list[Guest] = []
    yield guests
    for guest in guests:
        guest.close()
