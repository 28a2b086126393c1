"""When a feed is read next."""

from __future__ import annotations

from datetime import datetime, timedelta

_FIRST_PAUSE = 120
"""Seconds after the first failure; each further one doubles it, up to the feed's interval."""
_JITTER = 0.1
"""Feeds that were added together, and hubs that were started together, do not ask together for ever."""


def next_check(now: datetime, interval: int, failures: int, chance: float) -> datetime:
    """Return when to read a feed again.

    Parameters
    ----------
    interval
        Seconds between two readings that go well.
    failures
        How often in a row it could not be read.
    chance
        Any number from 0 to 1.
    """
    pause = min(interval, _FIRST_PAUSE * 2 ** min(failures - 1, 16)) if failures else interval
    return now + timedelta(seconds=pause * (1 + _JITTER * (2 * chance - 1)))
