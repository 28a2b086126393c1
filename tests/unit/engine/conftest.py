from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Lab


@pytest.fixture
async def lab(tmp_path):
    """One fake host with a controller."""
    lab = Lab(tmp_path)
    await lab.begin()
    yield lab
    try:
        if not lab.disagrees:
            await lab.agrees()
    finally:
        await lab.end()


@pytest.fixture
async def two_hosts(tmp_path):
    """Two fake hosts with a controller."""
    lab = Lab(tmp_path, hosts=2)
    await lab.begin()
    yield lab
    try:
        if not lab.disagrees:
            await lab.agrees()
    finally:
        await lab.end()
