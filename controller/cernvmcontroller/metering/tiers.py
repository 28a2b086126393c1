"""The resolutions in which history is kept, and which of them answer a question.

============  =======  ==========  ==========================
slots of      kept     rows a machine  made of
============  =======  ==========  ==========================
30 seconds    6 hours         720  what the hosts say
5 minutes     8 days        2,304  slots of 30 seconds
1 hour        366 days      8,784  slots of five minutes
1 day         5 years       1,827  slots of an hour
============  =======  ==========  ==========================

A slot of a coarser tier is made once, when no more can be added to the slots below it; until then the finer
slots answer in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmapi.errors import Malformed
from cernvmcontroller.store import usagetables as tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TICK = 30
"""Seconds from one sample to the next; ticks are at multiples of it since 1970."""

LATEST = 10
"""Ticks after which a host that did not answer has a gap: what its machines used meanwhile is not known to
have been used at any time in particular. Up to then it is spread evenly."""

MOST_POINTS = 10_000
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Tier:
    """One resolution.

    Parameters
    ----------
    step
        Seconds of a slot.
    kept
        Seconds for which slots are kept.
    table
        Where.
    """

    step: int
    kept: int
    table: type[tables.UsageRow]

    @property
    def mark(self) -> str:
        """Key of the database's note how far this tier is made."""
        return f"usage.made.{self.step}"


TICKS = Tier(TICK, 6 * _HOUR, tables.UsageTickRow)
TIERS = (
    TICKS,
    Tier(300, 8 * _DAY, tables.UsageFiveMinutesRow),
    Tier(_HOUR, 366 * _DAY, tables.UsageHourRow),
    Tier(_DAY, 1827 * _DAY, tables.UsageDayRow),
)
"""The finest first; each step is a multiple of the one before."""

RESOLUTIONS = (30, 60, 300, 600, 1800, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY)
"""Seconds between two points of an answer."""


@dataclass(frozen=True)
class Segment:
    """Slots of one tier, those from `first` to before `end`."""

    tier: Tier
    first: int
    end: int


def due(fine: Tier, coarse: Tier, made: Mapping[int, int], now: int) -> int:
    """Return up to when slots of `coarse` can be made.

    Parameters
    ----------
    made
        By each tier's step: up to when it is made, in seconds since 1970.
    now
        The time of the last tick.
    """
    final = now - LATEST * TICK if fine is TICKS else made[fine.step]
    return final // coarse.step * coarse.step


def segments(resolution: int, begin: int, end: int, made: Mapping[int, int]) -> Iterator[Segment]:
    """Yield what has to be read, each moment once: of the coarsest tier what is made, of finer ones the rest.

    Parameters
    ----------
    resolution
        One of `RESOLUTIONS`.
    begin, end
        Seconds since 1970, `begin` a multiple of `resolution`.
    made
        See `due`.
    """
    for tier in reversed(TIERS):
        if resolution % tier.step:
            continue
        upto = end if tier is TICKS else min(end, made.get(tier.step, 0)) // tier.step * tier.step
        if begin < upto:
            yield Segment(tier, begin // tier.step, upto // tier.step)
            begin = upto


def choose(begin: int, end: int, now: int, *, points: int) -> int:
    """Return the finest resolution that has at most so many points and is still kept at `begin`."""
    for resolution in RESOLUTIONS:
        tier = max((tier for tier in TIERS if resolution % tier.step == 0), key=lambda tier: tier.step)
        if begin >= now - tier.kept and -(-(end - begin) // resolution) <= points:
            return resolution
    return RESOLUTIONS[-1]


def aligned(begin: int, end: int, resolution: int) -> tuple[int, int]:
    """Return the range, widened to whole points.

    Raises
    ------
    Malformed
        It is no range, no resolution that there is, or has too many points.
    """
    if begin >= end:
        raise Malformed("The range is empty: `from` has to be before `to`.")
    if resolution not in RESOLUTIONS:
        raise Malformed(
            f"There is no resolution of {resolution} s; there are {', '.join(map(str, RESOLUTIONS))}."
        )
    begin, end = begin // resolution * resolution, -(-end // resolution) * resolution
    if (end - begin) // resolution > MOST_POINTS:
        raise Malformed(
            f"That is more than {MOST_POINTS} points: ask for a shorter range or a coarser resolution."
        )
    return begin, end
