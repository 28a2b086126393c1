from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fixtures.postgres import PostgreSQL, postgresql
from tests.unit.metering.site import Metered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["postgresql"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/controller.sqlite"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create_database()


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Metered]:
    """Two fake hosts with machines, and a meter."""
    site = Metered(database_url)
    await site.begin()
    yield site
    await site.end()
