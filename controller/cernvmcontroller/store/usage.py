"""What machines used: series, their history in slots, and the counters from which the next tick counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cernvmcontroller.store.tables import MachineRow, MetaRow
from cernvmcontroller.store.usagetables import BaselineRow, SeriesRow, UsageHourRow, UsageRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Subquery
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import InstrumentedAttribute

AMOUNTS = ("running", "cpu_ms", "memory", "disk_read", "disk_written", "network_received", "network_sent")
"""The columns that are summed up."""
_KEY = ("kind", "subject", "owner", "host", "appliance")
_AT_ONCE = 1000
"""Rows of one statement: between two of them others have their turn of the event loop."""
SEEN_STEP = 3600
"""Seconds of the slots after which `SeriesRow.seen` is brought up to date: `note_seen`."""
_SEEN_LATE = 3 * SEEN_STEP
"""It may be so many seconds behind."""


def _upsert(session: AsyncSession, table: Any) -> Any:
    """Return an insert that can say what happens to a row that is there."""
    dialect = session.get_bind().dialect.name
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


# --- what is metered ---


async def metered(session: AsyncSession) -> AsyncIterator[Sequence[Any]]:
    """Yield uuid, id, owner, host, appliance and cluster of the machines on hosts, some at a time."""
    row = MachineRow
    query = select(row.uuid, row.id, row.owner, row.host, row.appliance, row.cluster)
    async for rows in (await session.stream(query.where(row.host.is_not(None)))).partitions(_AT_ONCE):
        yield rows


async def baselines(session: AsyncSession) -> dict[str, bytes]:
    """Return the last baseline of each host."""
    rows = await session.execute(select(BaselineRow.host, BaselineRow.content))
    return {host: content for host, content in rows}  # noqa: C416 - rows are no tuples to a type checker


async def put_baselines(session: AsyncSession, contents: Mapping[str, bytes]) -> None:
    """Keep the baselines of hosts; those of the others stay."""
    if contents:
        statement = _upsert(session, BaselineRow)
        statement = statement.on_conflict_do_update(
            index_elements=["host"], set_={"content": statement.excluded.content}
        )
        rows = [{"host": host, "content": content} for host, content in contents.items()]
        await session.execute(statement, rows)


# --- writing ---


async def identify(
    session: AsyncSession, keys: Collection[tuple[str, ...]], first: int, now: int
) -> dict[tuple[str, ...], int]:
    """Return the ids of series, made where they are new.

    Parameters
    ----------
    keys
        Kind, subject, owner, host and appliance of each.
    first, now
        Seconds since 1970: since when new ones are measured, and of this tick.
    """
    if not keys:
        return {}
    statement = _upsert(session, SeriesRow)
    new = statement.excluded.first
    earlier = SeriesRow.first > new  # the clock was set back since
    statement = statement.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={"seen": statement.excluded.seen, "first": case((earlier, new), else_=SeriesRow.first)},
    )
    rows = [{**dict(zip(_KEY, key, strict=True)), "first": first, "seen": now} for key in keys]
    for begin in range(0, len(rows), _AT_ONCE):
        await (await session.connection()).execute(statement, rows[begin : begin + _AT_ONCE])
    columns = [SeriesRow.id, *(getattr(SeriesRow, name) for name in _KEY)]
    found = await session.execute(select(*columns).where(SeriesRow.seen >= now))
    return {tuple(key): id_ for id_, *key in found}


async def add(session: AsyncSession, table: type[UsageRow], rows: Sequence[dict[str, int]]) -> None:
    """Insert rows; amounts of a slot that is there already are added to it."""
    statement = _upsert(session, table)
    sums = {name: getattr(table, name) + statement.excluded[name] for name in AMOUNTS}
    statement = statement.on_conflict_do_update(index_elements=["slot", "series"], set_=sums)
    # Not by the session, which would look at each row.
    await (await session.connection()).execute(statement, rows)


async def marks(session: AsyncSession, keys: Collection[str]) -> dict[str, int]:
    """Return the numbers that are noted under these keys."""
    rows = await session.execute(select(MetaRow.key, MetaRow.value).where(MetaRow.key.in_(sorted(keys))))
    return {key: int(value) for key, value in rows}


async def put_mark(session: AsyncSession, key: str, number: int) -> None:
    """Note a number."""
    await session.merge(MetaRow(key=key, value=str(number)))


async def make(
    session: AsyncSession,
    fine: type[UsageRow],
    coarse: type[UsageRow],
    *,
    ratio: int,
    first: int,
    end: int,
) -> None:
    """Make the slots of a coarser table from those of a finer one.

    Parameters
    ----------
    ratio
        How many slots of `fine` one of `coarse` has.
    first, end
        Slots of `coarse`, `end` exclusive; nobody adds to them any more.
    """
    slot = fine.slot // ratio
    sums = [func.sum(getattr(fine, name)) for name in ("span", *AMOUNTS)]
    chosen = select(slot, fine.series, *sums).where(fine.slot >= first * ratio, fine.slot < end * ratio)
    columns = ["slot", "series", "span", *AMOUNTS]
    await session.execute(insert(coarse).from_select(columns, chosen.group_by(slot, fine.series)))


async def forget(session: AsyncSession, table: type[UsageRow], before: int) -> None:
    """Throw away the slots before one."""
    await session.execute(delete(table).where(table.slot < before))


async def forget_after(session: AsyncSession, table: type[UsageRow], first: int) -> None:
    """Throw away the slots from one on."""
    await session.execute(delete(table).where(table.slot >= first))


async def note_seen(session: AsyncSession, first: int, end: int) -> None:
    """Write down which series were measured in these hours."""
    there = select(UsageHourRow.series).where(UsageHourRow.slot >= first, UsageHourRow.slot < end)
    upto = end * SEEN_STEP
    await session.execute(
        update(SeriesRow)
        .where(SeriesRow.id.in_(there), SeriesRow.seen < upto)
        .values(seen=upto)
        .execution_options(synchronize_session=False)
    )


async def forget_series(session: AsyncSession, before: int) -> None:
    """Throw away the series of which no history is left; `before` is in seconds since 1970."""
    await session.execute(
        delete(SeriesRow).where(SeriesRow.seen < before).execution_options(synchronize_session=False)
    )


# --- reading ---


@dataclass(frozen=True)
class Slots:
    """Slots of a table, `end` exclusive."""

    first: int
    end: int
    step: int
    """Seconds of a slot."""

    def rows(self) -> Subquery:
        """Return them as rows: each is looked up by its key, whatever else the table of history has."""
        slots = select(literal(self.first).label("slot")).cte("slots", recursive=True)
        slots = slots.union_all(select(slots.c.slot + 1).where(slots.c.slot + 1 < self.end))
        return select(slots.c.slot).subquery("wanted")


async def points(
    session: AsyncSession,
    table: type[UsageRow],
    slots: Slots,
    *,
    resolution: int,
    chosen: ColumnElement[bool],
    by: InstrumentedAttribute[str],
) -> Sequence[Any]:
    """Return `name` (a column of the chosen series), `begins` (of the point), `span` and the amounts.

    Parameters
    ----------
    resolution
        Seconds of a point.
    chosen
        A condition on `SeriesRow`.
    """
    slot = slots.rows().c.slot
    lives = (SeriesRow.first <= (slot + 1) * slots.step) & (SeriesRow.seen + _SEEN_LATE >= slot * slots.step)
    # The keys come first and are looked up: SQLite would rather read all series of each slot.
    keys = select(by.label("name"), slot, SeriesRow.id).select_from(SeriesRow).join(slot.table, lives)
    key = keys.where(chosen).cte("keys").prefix_with("MATERIALIZED").c
    sums = [func.sum(getattr(table, name)).label(name) for name in AMOUNTS]
    # Of several machines, each counts for the amounts, but a moment only once for the time.
    each = (
        select(key.name, table.slot, func.max(table.span).label("span"), *sums)
        .join(table, (table.slot == key.slot) & (table.series == key.id))
        .group_by(key.name, table.slot)
        .subquery()
    )
    begins = (each.c.slot * slots.step // resolution * resolution).label("begins")
    totals = [func.sum(each.c[name]).label(name) for name in ("span", *AMOUNTS)]
    query = select(each.c.name, begins, *totals).group_by(each.c.name, begins)
    return (await session.execute(query)).all()


async def sums(
    session: AsyncSession,
    table: type[UsageRow],
    slots: Slots,
    *,
    chosen: ColumnElement[bool],
    by: InstrumentedAttribute[str],
) -> Sequence[Any]:
    """Return `name` (a column of the chosen series) and the amounts; it reads what all series used.

    For few series among many, `points` is quicker.
    """
    totals = [func.sum(getattr(table, name)).label(name) for name in AMOUNTS]
    query = (
        select(by.label("name"), *totals)
        .select_from(table)
        .join(SeriesRow, SeriesRow.id == table.series)
        .where(table.slot >= slots.first, table.slot < slots.end, chosen)
    )
    return (await session.execute(query.group_by(by))).all()
