"""Answers what was used, by range and resolution."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import and_

from cernvmapi.errors import Malformed
from cernvmapi.usage import Grouping, Usage, UsageStatistics
from cernvmcontroller.metering import statistics
from cernvmcontroller.metering.counters import Amounts
from cernvmcontroller.metering.tally import Kind
from cernvmcontroller.metering.tiers import TIERS, aligned, choose, segments
from cernvmcontroller.store import starts, usage
from cernvmcontroller.store.usagetables import SeriesRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import InstrumentedAttribute

    from cernvmcontroller.metering.tiers import Segment
    from cernvmcontroller.store import Store

DEFAULT_POINTS = 120
_DEFAULT_RANGE = timedelta(hours=1)
_DEFAULT_STATISTICS = timedelta(days=30)
_HOUR, _DAY = 3600, 86400
_LONGEST = timedelta(days=366 * 5)
_DIGITS = 4
_RATES = {
    "machines": ("running", 1),
    "cpus": ("cpu_ms", 1000),
    "memory_mib": ("memory", 1),
    "disk_read": ("disk_read", 1),
    "disk_written": ("disk_written", 1),
    "network_received": ("network_received", 1),
    "network_sent": ("network_sent", 1),
}
"""Each column of an answer: its amount, and how many of the amount's units are one of the column's."""

_Column = dict[int, tuple[int, Amounts]]
"""Seconds that were measured, and what was used in them, by when a point begins."""


@dataclass(frozen=True)
class Range:
    """Which time, and how finely; None: the last hour, and what gives about a hundred points."""

    begin: datetime | None = None
    end: datetime | None = None
    resolution: int | None = None
    """Seconds."""
    points: int | None = None
    """At most so many; instead of a resolution."""

    def settled(self, default: timedelta) -> tuple[datetime, datetime]:
        """Return the range, with its defaults.

        Raises
        ------
        Malformed
            It is longer than anything is kept.
        """
        end = self.end or datetime.now(UTC)
        begin = self.begin or end - default
        if end - begin > _LONGEST:
            raise Malformed(
                "That is longer than five years, for which history is kept: ask for a shorter range."
            )
        return begin, end


class UsageHistory:
    """What was used.

    Parameters
    ----------
    store
        Where `Meter` keeps it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def machine(self, machine_id: str, owner: str | None, wanted: Range) -> Usage:
        """Return what a machine used; with an owner, only while it was theirs."""
        chosen = _is(Kind.MACHINE, machine_id)
        if owner is not None:
            chosen = and_(chosen, SeriesRow.owner == owner)
        return await self._usage(f"machine/{machine_id}", chosen, wanted)

    async def host(self, host_id: str, wanted: Range) -> Usage:
        """Return what the machines on a host used."""
        return await self._usage(f"host/{host_id}", _is(Kind.HOST, host_id), wanted)

    async def appliance(self, appliance_id: str, wanted: Range) -> Usage:
        """Return what the machines of an appliance used."""
        return await self._usage(f"appliance/{appliance_id}", _is(Kind.APPLIANCE, appliance_id), wanted)

    async def cluster(self, cluster_id: str, wanted: Range) -> Usage:
        """Return what the machines of a cluster used."""
        return await self._usage(f"cluster/{cluster_id}", _is(Kind.CLUSTER, cluster_id), wanted)

    async def owner(self, owner: str | None, wanted: Range) -> Usage:
        """Return what a user's machines used; None: everybody's."""
        if owner is None:
            return await self._usage("hub", SeriesRow.kind == Kind.HOST, wanted)
        chosen = and_(SeriesRow.kind == Kind.MACHINE, SeriesRow.owner == owner)
        return await self._usage(f"user/{owner}", chosen, wanted)

    async def machines(self, ids: Collection[str], owner: str | None, wanted: Range) -> list[Usage]:
        """Return what each of many machines used, from one look at the database."""
        chosen = and_(SeriesRow.kind == Kind.MACHINE, SeriesRow.subject.in_(sorted(ids)))
        if owner is not None:
            chosen = and_(chosen, SeriesRow.owner == owner)
        points = _Points.of(wanted)
        found = await self._read(points, chosen, SeriesRow.subject)
        return [points.usage(f"machine/{id_}", found.get(id_, {})) for id_ in dict.fromkeys(ids)]

    async def statistics(self, owner: str | None, by: Grouping, wanted: Range) -> UsageStatistics:
        """Return who started what, how long they waited, and what was used; whole hours."""
        asked = wanted.settled(_DEFAULT_STATISTICS)
        begin, end = (int(each.timestamp()) for each in asked)
        begin, end = begin // _HOUR * _HOUR, -(-end // _HOUR) * _HOUR
        if begin >= end:
            raise Malformed("The range is empty: `from` has to be before `to`.")
        chosen = SeriesRow.kind == Kind.MACHINE
        if owner is not None:
            chosen = and_(chosen, SeriesRow.owner == owner)
        column = SeriesRow.owner if by is Grouping.OWNER else SeriesRow.appliance
        tallied = statistics.Tallied(by)
        async with self._store.read() as session:
            for segment in _whole(begin, end, await _made(session)):
                table, slots = segment.tier.table, usage.Slots(segment.first, segment.end, segment.tier.step)
                if owner is None:
                    rows = await usage.sums(session, table, slots, chosen=chosen, by=column)
                else:
                    rows = await usage.points(
                        session, table, slots, resolution=_DAY, chosen=chosen, by=column
                    )
                for row in rows:
                    tallied.used(row.name, _amounts(row))
            first, last = (datetime.fromtimestamp(each, UTC) for each in (begin, end))
            async for some in starts.of(session, first, last, owner):
                tallied.started(some)
        return UsageStatistics(start=first, end=last, by=by, items=tallied.items())

    async def _usage(self, subject: str, chosen: ColumnElement[bool], wanted: Range) -> Usage:
        points = _Points.of(wanted)
        found = await self._read(points, chosen, SeriesRow.kind)  # one kind is chosen: one sum
        return points.usage(subject, next(iter(found.values()), {}))

    async def _read(
        self, points: _Points, chosen: ColumnElement[bool], by: InstrumentedAttribute[str]
    ) -> dict[str, _Column]:
        found: dict[str, _Column] = {}
        async with self._store.read() as session:
            for each in segments(points.resolution, points.begin, points.end, await _made(session)):
                rows = await usage.points(
                    session,
                    each.tier.table,
                    usage.Slots(each.first, each.end, each.tier.step),
                    resolution=points.resolution,
                    chosen=chosen,
                    by=by,
                )
                for row in rows:
                    column = found.setdefault(row.name, {})
                    span, used = column.get(row.begins, (0, Amounts()))
                    column[row.begins] = span + int(row.span), used.plus(_amounts(row))
        return found


@dataclass(frozen=True)
class _Points:
    """The points of an answer, in seconds since 1970."""

    begin: int
    end: int
    resolution: int

    @classmethod
    def of(cls, wanted: Range) -> Self:
        """Return the points of a range."""
        if wanted.resolution is not None and wanted.points is not None:
            raise Malformed("Give a resolution or a number of points, not both.")
        begin, end = (int(each.timestamp()) for each in wanted.settled(_DEFAULT_RANGE))
        resolution = wanted.resolution or choose(
            begin, end, int(time.time()), points=wanted.points or DEFAULT_POINTS
        )
        return cls(*aligned(begin, end, resolution), resolution)

    def usage(self, subject: str, found: _Column) -> Usage:
        """Return what was read as it goes over the wire."""
        columns: dict[str, list[float | None]] = {name: [] for name in _RATES}
        total = Amounts()
        for begins in range(self.begin, self.end, self.resolution):
            span, used = found.get(begins, (0, Amounts()))
            total = total.plus(used)
            for name, (amount, scale) in _RATES.items():
                rate = getattr(used, amount) / scale / span if span else None
                columns[name].append(rate if rate is None else round(rate, _DIGITS))
        return Usage(
            subject=subject,
            start=datetime.fromtimestamp(self.begin, UTC),
            end=datetime.fromtimestamp(self.end, UTC),
            resolution=self.resolution,
            totals=statistics.totals(total),
            **columns,
        )


def _amounts(row: Any) -> Amounts:
    return Amounts(*(int(getattr(row, name)) for name in Amounts._fields))


async def _made(session: AsyncSession) -> dict[int, int]:
    """Return up to when each tier is made, by its step."""
    marks = await usage.marks(session, [tier.mark for tier in TIERS])
    return {tier.step: marks[tier.mark] for tier in TIERS if tier.mark in marks}


def _whole(begin: int, end: int, made: Mapping[int, int]) -> Iterator[Segment]:
    """Yield what has to be read for a sum over whole hours: of whole days one slot each."""
    day = min(-(-begin // _DAY) * _DAY, end)
    yield from segments(_HOUR, begin, day, made)
    yield from segments(_DAY, day, end, made)


def _is(kind: Kind, subject: str) -> ColumnElement[bool]:
    return and_(SeriesRow.kind == kind, SeriesRow.subject == subject)
