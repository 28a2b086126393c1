"""From counters that only grow, and now and then begin anew, to what was used between two looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, msgpack

from cernvmcontroller.metering.tiers import LATEST, TICK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cernvmcontroller.hypervisor.statistics import DomainStatistics

_Counts = tuple[int | None, int | None, int | None, int | None, int | None]
_NOTHING: _Counts = (0, 0, 0, 0, 0)
_UNKNOWN: _Counts = (None, None, None, None, None)


class Counters(Struct, frozen=True, array_like=True):
    """A domain's counters at a tick."""

    run: int
    """Counters of another run begin at nothing."""
    counts: _Counts
    """CPU time in ms, bytes read, written, received, sent; None where the host never told."""


class Baseline(Struct, frozen=True, array_like=True):
    """The counters of all domains of a host that ran at a tick, also of those that are not the hub's.

    So a domain that is adopted later is not charged with what it used before.
    """

    slot: int
    """Of the tick: what is counted from here on was used in this slot and later."""
    domains: dict[str, Counters]
    """By UUID."""

    def encoded(self) -> bytes:
        """Return it as bytes."""
        return msgpack.encode(self)

    @classmethod
    def decoded(cls, content: bytes) -> Baseline:
        """Return what `encoded` made bytes of."""
        return msgpack.decode(content, type=cls)


class Amounts(NamedTuple):
    """What was used; `cernvmcontroller.store.usagetables.UsageRow` has the units."""

    running: int = 0
    cpu_ms: int = 0
    memory: int = 0
    disk_read: int = 0
    disk_written: int = 0
    network_received: int = 0
    network_sent: int = 0

    @classmethod
    def sum(cls, parts: Iterable[Amounts]) -> Amounts:
        """Return the sum."""
        return cls(*map(sum, zip(*parts, strict=True)))

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum of two."""
        return Amounts.sum((self, other))

    def parts(self, number: int) -> Iterator[Amounts]:
        """Yield as many equal parts; they are whole numbers and their sum is exactly this."""
        for n in range(number):
            yield Amounts(*(each * (n + 1) // number - each * n // number for each in self))


class Reading(NamedTuple):
    """What the domains of a host used from one tick to another."""

    baseline: Baseline
    first: int
    """The slot of the tick before."""
    used: dict[str, Amounts]
    """By UUID; empty where it is not known."""


def read(before: Baseline | None, seen: Iterable[DomainStatistics], slot: int) -> Reading:
    """Compare what a host says with its baseline.

    A domain that the baseline does not have was started since: all that it used was used since. Without a
    baseline, or with one that is older than `LATEST` ticks, nothing is known but where to count from.
    """
    if before is not None and not 0 < slot - before.slot <= LATEST:
        before = None
    domains: dict[str, Counters] = {}
    used: dict[str, Amounts] = {}
    for each in seen:
        earlier = _earlier(before, each)
        # What the host did not say this time, being busy with the domain, it will say next time.
        counts = tuple(was if now is None else now for now, was in zip(each.counters, earlier, strict=True))
        domains[each.uuid] = Counters(each.run, counts)  # type: ignore[arg-type]
        if before is not None:
            seconds = (slot - before.slot) * TICK
            cpu_ms, *others = map(_grown, counts, earlier)
            used[each.uuid] = Amounts(seconds, cpu_ms, each.memory_mib * seconds, *others)
    return Reading(Baseline(slot, domains), slot if before is None else before.slot, used)


def _earlier(before: Baseline | None, now: DomainStatistics) -> _Counts:
    """Return the counters from which to count."""
    if before is None:
        return _UNKNOWN
    known = before.domains.get(now.uuid)
    if known is None or known.run != now.run:
        return _NOTHING
    was, cpu_ms = known.counts[0], now.cpu_ms
    # A host that booted numbers its runs anew. CPU time goes back for no other reason.
    return _NOTHING if was is not None and cpu_ms is not None and cpu_ms < was else known.counts


def _grown(now: int | None, was: int | None) -> int:
    """Return by how much; a disk or card that was taken out takes its part of the counter along."""
    return 0 if now is None or was is None else max(0, now - was)
