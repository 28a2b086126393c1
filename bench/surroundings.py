"""Whether a machine had time for what was measured on it: its load before and after.

The load counts who runs and who waits to, the benchmark itself included: above the number of cores somebody
waited, so that times say something about others too.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "surroundings"
"""Where the record is among the figures."""

CAVEAT = (
    "Where the machine was busy, or nobody knows, the figures say more about what else it did: compare them "
    "with no others."
)


def of(before: float, after: float, cores: int) -> dict[str, Any]:
    """Return the record of a measurement.

    Parameters
    ----------
    before, after
        The load of the last minute when it began and when it ended.
    cores
        Of the machine.
    """
    return {
        "load": [before, after],
        "cores": cores,
        "machine": "busy" if max(before, after) > cores else "quiet",
    }


@contextmanager
def noted(figures: dict[str, Any]) -> Iterator[None]:
    """Add the record to the figures that the block measures."""
    began, before = datetime.now(UTC), os.getloadavg()[0]
    yield
    figures[KEY] = of(before, os.getloadavg()[0], os.cpu_count() or 1)
    figures[KEY]["at"] = began.isoformat(timespec="seconds")


def text(figures: dict[str, Any]) -> str:
    """Return in words how busy the machine was."""
    found = figures.get(KEY)
    if found is None:
        return "how busy the machine was is not known"
    before, after = found["load"]
    return (
        f"the machine was {found['machine']} (load {before:.1f} before and {after:.1f} after, "
        f"{found['cores']} cores)"
    )


def doubtful(figures: dict[str, Any]) -> bool:
    """Return whether the figures may say more about others."""
    return bool(figures.get(KEY, {}).get("machine") != "quiet")
