"""Samples what machines use every 30 seconds and keeps it; never in the way of what else is written.

A tick asks each host once and writes once: amounts, the counters from which the next tick counts, and the
starts that ended, all or nothing. So a controller that is killed anywhere leaves a tick that is written or
one that was not, and its successor counts on from there: nothing is counted twice, and nothing is lost unless
the host or the controller is away for longer than `tiers.LATEST` ticks.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, StoreUnavailable
from cernvmcontroller.metering import tally
from cernvmcontroller.metering.counters import Amounts, Baseline, Reading, read
from cernvmcontroller.metering.tiers import LATEST, TICK, TICKS, TIERS, due
from cernvmcontroller.store import Actor, starts, usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cernvmcontroller.hypervisor.statistics import DomainStatistics
    from cernvmcontroller.inventory import HostLink, Inventory
    from cernvmcontroller.metering.tally import Metered, Rows, Series
    from cernvmcontroller.store import Store

_log = structlog.get_logger(__name__)
_PATIENCE = 10.0
"""Seconds that a tick lets other writes go first."""
_BREATH = 0.02
_AT_ONCE = 1000
_HOSTS_AT_ONCE = 16
"""Their answers are read in threads: the event loop waits for its turn among as many."""
_SET_BACK = 3600 // TICK
"""Ticks by which the clock may be set back; more, and it was wrong before."""
_STARTS_KEPT = 366 * 86400
"""Seconds."""


@dataclass(frozen=True)
class Use:
    """What one host, or one machine, used at the last tick, and since this controller runs."""

    last: Amounts
    """At the last tick."""
    seconds: int
    """How long that was; 0 where it is not known."""
    total: Amounts


class Meter:
    """Samples and keeps.

    Parameters
    ----------
    store
        Where history is kept.
    inventory
        Has the hosts.
    per_machine
        Whether `machines` is kept up to date, for metrics.
    """

    def __init__(self, store: Store, inventory: Inventory, *, per_machine: bool = False) -> None:
        self._store = store
        self._inventory = inventory
        self._per_machine = per_machine
        self._baselines: dict[str, Baseline] | None = None
        """None where it is not known what the database has."""
        self._series: dict[tuple[str, ...], int] = {}
        self._made: dict[int, int] = {}
        self.hosts: dict[str, Use] = {}
        """By host, for metrics."""
        self.machines: dict[tuple[str, str], Use] = {}
        """By machine and host, for metrics."""

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            slot = int(time.time() // TICK) + 1
            await asyncio.sleep(slot * TICK - time.time())
            try:
                await self.tick(max(slot, int(time.time() // TICK)))
            except StoreUnavailable as error:
                _log.warning("use of machines not written; the next tick counts it", reason=error.detail)
            except Exception:  # noqa: BLE001 - the next tick may be better
                _log.exception("use of machines not sampled")

    async def tick(self, slot: int) -> None:
        """Sample once.

        Parameters
        ----------
        slot
            Number of the tick: its time in seconds since 1970, divided by `TICK`.

        Raises
        ------
        StoreUnavailable
            Nothing is written; the next tick counts what this one did not.
        """
        try:
            await self._tick(slot)
        except BaseException:
            # Of a commit whose answer was lost nobody knows whether it happened; the database does.
            self._baselines = None
            raise

    async def _tick(self, slot: int) -> None:
        before = await self._known()
        newest = max((each.slot for each in before.values()), default=0)
        if newest >= slot:
            if newest - slot > _SET_BACK:
                await self._begin_anew(slot)
            else:
                slot = newest  # this time was measured already: count anew from where it is over
            before = {}
        links = [link for link in self._inventory.links.values() if link.alive]
        some = asyncio.Semaphore(_HOSTS_AT_ONCE)
        seen = await asyncio.gather(*(_ask(link, some) for link in links))
        machines: dict[str, Metered] = {}
        async with self._store.read() as session:
            async for found in usage.metered(session):
                machines |= {uuid: _metered(*rest) for uuid, *rest in found}
        readings: dict[str, Reading] = {}
        rows: Rows = {}
        for link, statistics in zip(links, seen, strict=True):
            if statistics is None:
                continue
            readings[link.id] = read(before.get(link.id), statistics, slot)
            tally.add(rows, readings[link.id], machines, link.id)
            await asyncio.sleep(0)  # a thousand hosts at once would keep requests waiting
        await self._give_way()
        await self._write(slot, rows, readings)
        self._note(rows, readings)
        await self._make(slot)

    # --- the parts of a tick ---

    async def _known(self) -> dict[str, Baseline]:
        if self._baselines is None:
            async with self._store.read() as session:
                contents = await usage.baselines(session)
                made = await usage.marks(session, [tier.mark for tier in TIERS])
            self._baselines = {host: Baseline.decoded(content) for host, content in contents.items()}
            self._made = {tier.step: made[tier.mark] for tier in TIERS if tier.mark in made}
        return self._baselines

    async def _give_way(self) -> None:
        """Let the writes that wait go first, for a while."""
        until = time.monotonic() + _PATIENCE
        while self._store.turn.waiting and time.monotonic() < until:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(_BREATH)

    async def _write(self, slot: int, rows: Rows, readings: Mapping[str, Reading]) -> None:
        now = slot * TICK
        baselines = {host: each.baseline for host, each in readings.items()}
        wanted = {series for _, series in rows}
        async with self._store.read() as session:
            ended = await starts.ended(session, datetime.now(UTC))
        async with self._store.write(Actor.system(), "usage.sample", "usage", audit=False) as tx:
            new = wanted - self._series.keys()
            ids = await usage.identify(tx.session, new, now - LATEST * TICK, now)
            ids |= {series: self._series[series] for series in wanted if series in self._series}
            left = iter(rows.items())
            # Some at a time: whoever waits for the event loop has a turn in between.
            while some := [_row(*key, ids, parts) for key, parts in islice(left, _AT_ONCE)]:
                await usage.add(tx.session, TICKS.table, some)
            contents = {host: each.encoded() for host, each in baselines.items()}
            await usage.put_baselines(tx.session, contents)
            tx.session.add_all(ended)
        self._series = {series: ids[series] for series in wanted}
        self._baselines = (self._baselines or {}) | baselines

    async def _make(self, slot: int) -> None:
        """Make the slots of coarser tiers that nobody adds to any more, one tier in one write."""
        now = slot * TICK
        made = self._made
        for fine, coarse in pairwise(TIERS):
            begin = made.get(coarse.step, now // coarse.step * coarse.step)
            end = max(begin, due(fine, coarse, made, now))
            if coarse.step in made and begin == end:
                continue
            first, last = begin // coarse.step, end // coarse.step
            async with self._store.write(Actor.system(), "usage.make", "usage", audit=False) as tx:
                ratio = coarse.step // fine.step
                await usage.make(tx.session, fine.table, coarse.table, ratio=ratio, first=first, end=last)
                await usage.forget(tx.session, fine.table, (now - fine.kept) // fine.step)
                if coarse.step == usage.SEEN_STEP:
                    await usage.note_seen(tx.session, first, last)
                if coarse is TIERS[-1]:
                    await usage.forget(tx.session, coarse.table, (now - coarse.kept) // coarse.step)
                    await usage.forget_series(tx.session, now - coarse.kept)
                    await starts.prune(tx.session, datetime.fromtimestamp(now - _STARTS_KEPT, UTC))
                await usage.put_mark(tx.session, coarse.mark, end)
            made[coarse.step] = end

    async def _begin_anew(self, slot: int) -> None:
        """Forget what was measured at times that are yet to come: the clock was wrong then."""
        now, self._series = slot * TICK, {}
        _log.warning("the clock was wrong: what was measured at times that are yet to come is forgotten")
        async with self._store.write(Actor.system(), "usage.forget", "usage", audit=False) as tx:
            for tier in TIERS:
                await usage.forget_after(tx.session, tier.table, now // tier.step)
                if tier.step in self._made:
                    begin = min(self._made[tier.step], now // tier.step * tier.step)
                    await usage.put_mark(tx.session, tier.mark, begin)
                    self._made[tier.step] = begin

    def _note(self, rows: Rows, readings: Mapping[str, Reading]) -> None:
        """Remember what metrics say."""
        seconds = {host: (each.baseline.slot - each.first) * TICK for host, each in readings.items()}
        hosts: dict[str, list[Amounts]] = {host: [] for host in readings}
        machines: dict[tuple[str, str], list[Amounts]] = {}
        for (_, series), parts in rows.items():
            if series.kind is tally.Kind.HOST:
                hosts[series.subject] += parts
            elif series.kind is tally.Kind.MACHINE and self._per_machine:
                machines.setdefault((series.subject, series.host), []).extend(parts)
        # A host that did not answer keeps its totals: it is no counter that began anew.
        self.hosts = {host: Use(Amounts(), 0, use.total) for host, use in self.hosts.items()} | {
            host: _use(self.hosts.get(host), parts, seconds[host]) for host, parts in hosts.items()
        }
        self.machines = {
            key: _use(self.machines.get(key), parts, seconds[key[1]]) for key, parts in machines.items()
        }


async def _ask(link: HostLink, some: asyncio.Semaphore) -> list[DomainStatistics] | None:
    try:
        async with some:
            return await link.hypervisor.statistics()
    except CernVMError as error:
        _log.debug("host did not say what its machines use", host=link.id, reason=error.detail)
        return None


def _metered(id_: str, owner: str | None, host: str, appliance: str, cluster: str | None) -> Metered:
    return tally.Metered(id_, owner or "", host, appliance, cluster or "")


def _row(
    slot: int, series: Series, ids: Mapping[tuple[str, ...], int], parts: list[Amounts]
) -> dict[str, int]:
    return {"slot": slot, "series": ids[series], "span": TICK, **Amounts.sum(parts)._asdict()}


def _use(before: Use | None, parts: list[Amounts], seconds: int) -> Use:
    used = Amounts.sum([Amounts(), *parts])
    return Use(used, seconds, used if before is None else before.total.plus(used))
