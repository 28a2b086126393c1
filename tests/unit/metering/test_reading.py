"""How history is read: a question costs the same however many machines there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from tests.unit.metering.site import Metered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Metered]:
    site = Metered(f"sqlite+aiosqlite:///{tmp_path}/controller.sqlite")
    await site.begin()
    yield site
    await site.end()


async def test_sqlite_looks_up_the_slots_of_a_question_and_reads_no_others(sqlite: Metered) -> None:
    site = sqlite
    asked: list[tuple[str, Any]] = []
    engine = site.store._database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *each: asked.append((each[2], each[3])))
    wanted = site.range(0, 120, resolution=30)
    await site.history.machine("m-one", None, wanted)
    await site.history.owner("alice", wanted)
    questions = [each for each in asked if "usage_ticks" in each[0]]
    assert len(questions) == 2
    for statement, parameters in questions:
        async with site.store.read() as session:
            connection = await session.connection()
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines = [line for *_, line in plan.all() if "usage_ticks" in line]
        assert lines == ["SEARCH usage_ticks USING PRIMARY KEY (slot=? AND series=?)"]
