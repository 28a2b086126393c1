"""Machines for the tests of the widgets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cernvmapi.models import Machine, Phase, PhaseMark, Power, Status, Target

THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _mark(phase: Phase, progress: int, message: str = "") -> PhaseMark:
    return PhaseMark(phase=phase, message=message or phase.value, progress=progress, at=THEN)


def _machine(**changes: Any) -> Machine:
    fields: dict[str, Any] = {
        "id": "m-abcdefgh2345",
        "name": "alice",
        "owner": "alice",
        "server_name": "",
        "appliance": "default",
        "appliance_title": "CernVM for notebooks",
        "flavor": "small",
        "vcpus": 1,
        "memory_mib": 1536,
        "disk_mib": 8192,
        "host": "local",
        "uuid": "5d3b5a9e-3a54-5f0e-8a9b-000000000001",
        "address": "10.80.0.17",
        "status": Status.RUNNING,
        "target": Target.RUNNING,
        "power": Power.ON,
        "timeline": [_mark(Phase.PLACED, 5), _mark(Phase.READY, 100)],
        "progress": 100,
        "created": THEN,
        "changed": THEN,
    }
    return Machine(**fields | changes)


@pytest.fixture
def machine():
    """Make a running machine, with changes."""
    return _machine


@pytest.fixture
def mark():
    """Make a mark of a start's timeline."""
    return _mark
