from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.threats.site import open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.threats.site import Site


@pytest.fixture
async def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Site]:
    """A site; its parameters are those of `open_site`."""
    async with open_site(tmp_path, monkeypatch, **getattr(request, "param", {})) as made:
        yield made
