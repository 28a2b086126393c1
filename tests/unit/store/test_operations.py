"""Operations: begun, followed, ended once, found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.store.samples import ALICE, HUB

from cernvmapi.errors import NotFound
from cernvmapi.models import OperationStatus, Problem
from cernvmcontroller.store import Store, audit, operations
from cernvmcontroller.store.operations import OperationQuery


async def begin(store: Store, id_: str, subject: str = "machine/m-1", owner: str = "alice") -> None:
    async with store.write(ALICE, "machine.start", subject) as tx:
        await operations.create(
            tx, id_, "machine.start", subject, owner=owner, cancellable=True, details={"keep_home": True}
        )


async def test_an_operation_is_followed_to_its_end(store: Store) -> None:
    events = store.events.subscribe(types={"operation.changed"})
    await begin(store, "o-1")
    async with store.write(ALICE, "machine.step", "machine/m-1", audit=False) as tx:
        await operations.progress(tx, "o-1", 40, "The machine boots")
        await operations.progress(tx, "o-1", 90, cancellable=False)
    async with store.write(ALICE, "machine.step", "machine/m-1", audit=False) as tx:
        await operations.finish(tx, "o-1", OperationStatus.SUCCEEDED, message="Ready")
    told = [(await anext(events)).data for _ in range(4)]
    assert [(one["progress"], one["message"], one["cancellable"]) for one in told] == [
        (0, "", True),
        (40, "The machine boots", True),
        (90, "The machine boots", False),
        (100, "Ready", False),
    ]
    async with store.read() as session:
        row = await operations.get(session, "o-1")
    model = operations.to_model(row)
    assert (model.actor, model.owner, model.status) == ("alice", "alice", OperationStatus.SUCCEEDED)
    assert model.finished is not None
    assert model.finished >= model.created
    assert row.details == {"keep_home": True, "request_id": "r-1"}
    assert model.request_id == "r-1"


async def test_the_first_end_counts(store: Store) -> None:
    await begin(store, "o-1")
    problem = Problem(title="No", status=500, detail="It broke.", code="start-failed")
    async with store.write(ALICE, "machine.step", "machine/m-1", audit=False) as tx:
        row = await operations.finish(tx, "o-1", OperationStatus.FAILED, error=problem)
    last = store.events.last_id()
    async with store.write(ALICE, "machine.step", "machine/m-1", audit=False) as tx:
        await operations.finish(tx, row, OperationStatus.SUCCEEDED)
        await operations.progress(tx, row, 50)
    async with store.read() as session:
        found = await operations.get(session, "o-1")
    assert (found.status, found.error, found.progress) == (OperationStatus.FAILED, problem, 0)
    assert store.events.last_id() == last


async def test_the_next_controller_finds_what_the_last_one_left(store: Store, database_url: str) -> None:
    for id_ in ("o-2", "o-1", "o-3"):
        await begin(store, id_, f"machine/m-{id_}")
    async with store.write(ALICE, "machine.step", "machine/m-o-1", audit=False) as tx:
        await operations.finish(tx, "o-1", OperationStatus.CANCELLED)
    again = await Store.open(database_url, HUB)
    async with again.read() as session:
        assert [row.id for row in await operations.running(session)] == ["o-2", "o-3"]
        assert [row.id for row in await operations.running(session, "machine/m-o-3")] == ["o-3"]
    await again.close()


async def test_operations_are_listed_newest_first(store: Store) -> None:
    for n in range(5):
        await begin(store, f"o-{n}", f"machine/m-{n % 2}", owner=("alice", "bob")[n % 2])
    async with store.write(ALICE, "machine.step", "machine/m-1", audit=False) as tx:
        await operations.finish(tx, "o-4", OperationStatus.SUCCEEDED)
    async with store.read() as session:
        page = await operations.page(session, OperationQuery(owner="alice", limit=2))
        assert [row.id for row in page.rows] == ["o-4", "o-2"]
        rest = await operations.page(session, OperationQuery(owner="alice", limit=2, cursor=page.next))
        assert [row.id for row in rest.rows] == ["o-0"]
        running = OperationQuery(statuses=[OperationStatus.RUNNING], subject="machine/m-0")
        assert [row.id for row in (await operations.page(session, running)).rows] == ["o-2", "o-0"]
        with pytest.raises(NotFound, match="no operation 'o-9'"):
            await operations.get(session, "o-9")


async def test_operations_that_ended_long_ago_are_thrown_away_and_their_record_stays(store: Store) -> None:
    for id_ in ("o-old", "o-new", "o-running"):
        await begin(store, id_)
    async with store.write(ALICE, "machine.step", "machine/m-1", audit=False) as tx:
        (await operations.finish(tx, "o-old", OperationStatus.SUCCEEDED)).finished = datetime.now(
            UTC
        ) - timedelta(days=31)
        await operations.finish(tx, "o-new", OperationStatus.FAILED)
    await store.prune()
    async with store.read() as session:
        found = await operations.page(session, OperationQuery())
        assert {row.id for row in found.rows} == {"o-new", "o-running"}
        assert (await audit.page(session, audit.AuditQuery(action="machine.start"))).total == 3
