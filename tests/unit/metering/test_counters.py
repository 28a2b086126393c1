"""From counters to amounts: runs, devices and hosts that come and go."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cernvmcontroller.hypervisor.statistics import DomainStatistics
from cernvmcontroller.metering.counters import Amounts, Baseline, read
from cernvmcontroller.metering.tiers import LATEST


def said(run: int = 1, cpu_ms: int | None = 0, read: int | None = 0, memory: int = 128) -> DomainStatistics:
    return DomainStatistics("u", run, memory, cpu_ms, read, 0, 0, 0)


def used(*looks: DomainStatistics | None) -> list[Amounts | None]:
    """Return what a domain used between each look and the next; None: the domain is off, or nobody knows."""
    baseline, found = None, []
    for slot, look in enumerate(looks):
        reading = read(baseline, [] if look is None else [look], slot)
        found.append(reading.used.get("u"))
        baseline = Baseline.decoded(reading.baseline.encoded())
    return found[1:]


def cpu(*looks: DomainStatistics | None) -> list[int | None]:
    return [each and each.cpu_ms for each in used(*looks)]


def test_a_counter_that_grew_says_by_how_much() -> None:
    assert used(said(cpu_ms=100, read=7), said(cpu_ms=160, read=8)) == [
        Amounts(running=30, cpu_ms=60, memory=128 * 30, disk_read=1)
    ]


def test_another_run_begins_at_zero_even_where_its_counters_are_larger() -> None:
    assert cpu(said(1, 100), said(2, 130)) == [130]


def test_a_host_that_booted_numbers_its_runs_anew() -> None:
    assert cpu(said(1, 100), said(1, 30)) == [30]


def test_a_disk_that_was_taken_out_gives_nothing_back() -> None:
    looks = said(cpu_ms=10, read=1000), said(cpu_ms=20, read=50), said(cpu_ms=30, read=60)
    assert [each and each.disk_read for each in used(*looks)] == [0, 10]


def test_what_a_busy_domain_does_not_say_is_said_later() -> None:
    assert cpu(said(cpu_ms=100), said(cpu_ms=None), said(cpu_ms=None), said(cpu_ms=160)) == [0, 0, 60]


def test_what_was_never_said_is_not_taken_for_use_when_it_is() -> None:
    looks = said(cpu_ms=100, read=None), said(cpu_ms=110, read=10**12), said(cpu_ms=120, read=10**12 + 5)
    assert [each and each.disk_read for each in used(*looks)] == [0, 5]


def test_a_domain_that_was_off_in_between_counts_from_zero() -> None:
    assert cpu(said(1, 100), None, said(2, 40)) == [None, 40]


@pytest.mark.parametrize(("ticks", "known"), [(1, True), (LATEST, True), (LATEST + 1, False), (0, False)])
def test_a_baseline_is_good_for_some_ticks(ticks: int, known: bool) -> None:
    before = read(None, [said(cpu_ms=100)], 1000).baseline
    reading = read(before, [said(cpu_ms=160)], 1000 + ticks)
    assert bool(reading.used) is known
    assert reading.baseline.domains["u"].counts[0] == 160


@given(st.lists(st.integers(0, 10**15), min_size=7, max_size=7), st.integers(1, LATEST))
def test_parts_add_up_to_the_whole(amounts: list[int], number: int) -> None:
    whole = Amounts(*amounts)
    parts = list(whole.parts(number))
    total = Amounts()
    for part in parts:
        total = total.plus(part)
    assert (len(parts), total) == (number, whole)
    assert all(
        max(map(abs, (a - b for a, b in zip(one, two, strict=True)))) <= 1 for one, two in pairwise(parts)
    )
