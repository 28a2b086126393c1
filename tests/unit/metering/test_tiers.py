"""Which slots answer a question."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cernvmapi.errors import Malformed
from cernvmcontroller.metering.tiers import (
    MOST_POINTS,
    RESOLUTIONS,
    TICK,
    TIERS,
    aligned,
    choose,
    due,
    segments,
)

DAY = 86400
NOW = 20_000 * DAY + 12 * 3600 + 1234
FIVE, HOUR, WHOLE_DAY = TIERS[1:]


def made_at(now: int) -> dict[int, int]:
    """Return up to when each tier is made at some time."""
    made: dict[int, int] = {}
    for fine, coarse in pairwise(TIERS):
        made[coarse.step] = due(fine, coarse, made, now)
    return made


@given(st.sampled_from(RESOLUTIONS), st.integers(0, 10 * DAY), st.integers(1, 5000), st.integers(0, DAY))
def test_every_moment_is_read_once_and_of_the_coarsest_slots_there_are(
    resolution: int, ago: int, points: int, since: int
) -> None:
    now = NOW + since
    begin, end = aligned(now - ago, now - ago + points * resolution, resolution)
    parts = list(segments(resolution, begin, end, made_at(now)))
    at = begin
    for part in parts:
        assert part.first * part.tier.step == at
        at = part.end * part.tier.step
        assert resolution % part.tier.step == 0
    assert at == end
    steps = [part.tier.step for part in parts]
    assert steps == sorted(steps, reverse=True)


def test_before_anything_was_made_the_ticks_answer() -> None:
    (part,) = segments(3600, 7200, 14400, {})
    assert (part.tier.step, part.first, part.end) == (TICK, 240, 480)


def test_a_slot_is_made_when_nobody_adds_to_it_any_more() -> None:
    made = made_at(10 * DAY + 3600 + 299)
    assert made[FIVE.step] == 10 * DAY + 3300
    assert made[HOUR.step] == 10 * DAY
    assert made_at(10 * DAY + 3600 + 300)[HOUR.step] == 10 * DAY + 3600
    assert made[WHOLE_DAY.step] == 10 * DAY


@pytest.mark.parametrize(
    ("range_", "points", "resolution"),
    [(3600, 120, 30), (3600, 60, 60), (6 * 3600, 120, 300), (DAY, 300, 300), (7 * DAY, 200, 3600),
     (30 * DAY, 1000, 3600), (365 * DAY, 400, DAY), (365 * DAY, 100, DAY)],
)  # fmt: skip
def test_the_finest_resolution_with_no_more_points_than_asked_for(
    range_: int, points: int, resolution: int
) -> None:
    assert choose(NOW - range_, NOW, NOW, points=points) == resolution


def test_an_hour_of_long_ago_is_told_as_finely_as_it_is_kept() -> None:
    assert choose(NOW - DAY, NOW - DAY + 3600, NOW, points=120) == 300
    assert choose(NOW - 100 * DAY, NOW - 100 * DAY + 3600, NOW, points=120) == 3600
    assert choose(NOW - 400 * DAY, NOW - 400 * DAY + 3600, NOW, points=120) == DAY


@pytest.mark.parametrize(
    ("begin", "end", "resolution"),
    [(60, 60, 30), (90, 60, 30), (0, 3600, 45), (0, 30 * (MOST_POINTS + 1), 30)],
)
def test_what_is_no_range_is_refused(begin: int, end: int, resolution: int) -> None:
    with pytest.raises(Malformed):
        aligned(begin, end, resolution)
