"""Who started what, how long they waited, and what was used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update
from tests.unit.metering.site import DAY, use

from cernvmapi.errors import Malformed
from cernvmapi.models import OperationStatus
from cernvmapi.usage import Grouping
from cernvmcontroller.metering.history import Range
from cernvmcontroller.metering.tiers import LATEST, TICK
from cernvmcontroller.store import Actor, operations
from cernvmcontroller.store.tables import OperationRow

if TYPE_CHECKING:
    from tests.unit.metering.site import Metered

NOW = datetime.now(UTC)


async def start(
    site: Metered,
    number: int,
    seconds: float,
    *,
    machine: str = "m-one",
    owner: str = "alice",
    ok: bool = True,
) -> None:
    """Let a start end that took so long."""
    id_ = f"o-{machine}-{number}"
    async with site.store.write(Actor(owner), "machine.start", machine, audit=False) as tx:
        await operations.create(tx, id_, "machine.start", f"machine/{machine}", owner=owner)
        status = OperationStatus.SUCCEEDED if ok else OperationStatus.FAILED
        await operations.finish(tx, id_, status)
        times = {"created": NOW, "finished": NOW + timedelta(seconds=seconds)}
        await tx.session.execute(update(OperationRow).where(OperationRow.id == id_).values(**times))


async def test_starts_are_counted_with_their_waiting_times(site: Metered) -> None:
    await site.machine("m-one")
    await site.machine("m-two", owner="bob", appliance="other")
    for number in range(20):
        await start(site, number, 1 + number)
    await start(site, 1, 3, machine="m-two", owner="bob")
    await start(site, 2, 100, machine="m-two", owner="bob", ok=False)
    for _ in range(3):
        await site.tick()  # each is kept once
    wanted = Range(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    found = (await site.history.statistics(None, Grouping.APPLIANCE, wanted)).items
    assert [(each.name, each.starts, each.ready, each.failed) for each in found] == [
        ("default", 20, 20, 0),
        ("other", 2, 1, 1),
    ]
    assert (found[0].wait_seconds, found[0].wait_seconds_p95, found[0].wait_seconds_longest) == (10, 19, 20)
    assert (found[1].wait_seconds, found[1].wait_seconds_longest) == (3, 3), "a failure is no waiting time"
    by_owner = (await site.history.statistics(None, Grouping.OWNER, wanted)).items
    assert [each.name for each in by_owner] == ["alice", "bob"]
    (own,) = (await site.history.statistics("bob", Grouping.APPLIANCE, wanted)).items
    assert (own.name, own.starts) == ("other", 2)


async def test_starts_are_known_after_machine_and_operation_are_gone(site: Metered) -> None:
    await site.machine("m-one")
    await start(site, 1, 5)
    await site.tick()
    async with site.store.write(Actor.system(), "forget", "x", audit=False) as tx:
        await tx.session.execute(OperationRow.__table__.delete())  # type: ignore[attr-defined]
    await site.restart()
    await site.tick()
    wanted = Range(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    (found,) = (await site.history.statistics(None, Grouping.APPLIANCE, wanted)).items
    assert (found.name, found.starts) == ("default", 1)


@pytest.mark.parametrize("owner", [None, "alice"])
async def test_what_was_used_is_added_up_over_all_tiers(site: Metered, owner: str | None) -> None:
    mine = await site.machine("m-one")
    theirs = await site.machine("m-two", owner="bob", appliance="other")
    await site.tick()
    for _ in range(2880 // LATEST + 15):
        use(mine, cpu_ms=1000)
        use(theirs, cpu_ms=3000)
        await site.tick(LATEST)
    at = datetime.fromtimestamp(DAY * TICK, UTC)
    wanted = Range(at - timedelta(hours=2), at + timedelta(hours=30))
    found = await site.history.statistics(owner, Grouping.OWNER, wanted)
    rounds = 2880 // LATEST + 15
    expected = [("alice", rounds, rounds * LATEST * TICK)]
    expected += [] if owner else [("bob", 3 * rounds, rounds * LATEST * TICK)]
    assert [
        (each.name, each.totals.cpu_seconds, each.totals.machine_seconds) for each in found.items
    ] == expected


async def test_an_empty_range_is_refused(site: Metered) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(Malformed):
        await site.history.statistics(None, Grouping.OWNER, Range(at, at))
