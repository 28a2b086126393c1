"""A year of 1,000 machines stays within 2 GB, on both databases."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import text

from cernvmcontroller.metering.counters import Amounts
from cernvmcontroller.metering.tiers import TIERS
from cernvmcontroller.store import Actor, usage

if TYPE_CHECKING:
    from tests.unit.metering.site import Metered

MACHINES, YEAR, LIMIT = 1000, 366 * 86400, 2 * 10**9
SUMS = 1.02
"""Rows of hosts and appliances beside those of 1,000 machines."""
SLOTS = 20


async def test_a_year_of_1000_machines_takes_less_than_2_gb(site: Metered) -> None:
    """Some slots of 1,000 busy machines are written in each tier; rows are of one size: the rest follows."""
    random, total = Random(1), 0.0
    for tier in TIERS:
        before, first = await _size(site), 1_772_000_000 // tier.step
        for slot in range(first, first + SLOTS):
            rows = [
                {"slot": slot, "series": series, "span": tier.step, **_busy(random, tier.step)._asdict()}
                for series in range(MACHINES)
            ]
            async with site.store.write(Actor.system(), "write", "x", audit=False) as tx:
                await usage.add(tx.session, tier.table, rows)
        a_row = (await _size(site) - before) / (SLOTS * MACHINES)
        rows_kept = MACHINES * SUMS * min(tier.kept, YEAR) / tier.step
        total += a_row * rows_kept
        print(f"{tier.table.__tablename__}: {a_row:.0f} bytes a row, {rows_kept * a_row / 1e6:.0f} MB")
    print(f"in all {total / 1e9:.2f} GB")
    assert total < LIMIT


def _busy(random: Random, seconds: int) -> Amounts:
    """Return what a machine with eight busy vCPUs and devices uses: numbers as long as they get."""
    bytes_ = [random.randrange(seconds * 10**8) for _ in range(4)]
    return Amounts(seconds, random.randrange(seconds * 8000), seconds * random.randrange(65536), *bytes_)


async def _size(site: Metered) -> int:
    """Return the size of the whole database in bytes."""
    async with site.store.read() as session:
        query = (
            "SELECT pg_database_size(current_database())"
            if site.url.startswith("postgresql")
            else "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        )
        return int(await session.scalar(text(query)) or 0)
