"""The machine's clock, which may stand still while the machine is paused."""

from __future__ import annotations

import time

TOLERATED = 1.0
"""Seconds; below it the way through the channel is as large as the error."""


def set_clock(seconds: float) -> bool:
    """Set the clock when it is off.

    Parameters
    ----------
    seconds
        The time, in seconds since 1970.

    Returns
    -------
    bool
        Whether it was set.
    """
    if abs(time.time() - seconds) <= TOLERATED:
        return False
    try:
        time.clock_settime(time.CLOCK_REALTIME, seconds)
    except PermissionError:
        return False
    return True
