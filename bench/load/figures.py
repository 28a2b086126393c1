"""Figures made of many: percentiles, and whether something grows."""

from __future__ import annotations

import math
from statistics import linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second number grows for one of the first, by least squares."""
    return linear_regression(*zip(*points, strict=True)).slope
