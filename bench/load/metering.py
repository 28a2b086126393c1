"""One tick of the meter with 10,000 machines on 100 hosts of libvirt's test driver, and libvirt alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import libvirt

from bench.load.figures import percentile
from bench.load.site import Site
from cernvmcontroller.hypervisor import bulkstats
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from cernvmcontroller.hypervisor.statistics import DomainStatistics
from cernvmcontroller.metering import Meter, UsageHistory
from cernvmcontroller.metering.history import Range
from cernvmcontroller.metering.tiers import TICK
from cernvmcontroller.store import Store
from cernvmcontroller.telemetry.health import LoopLag
from cernvmcontroller.telemetry.measures import Unmeasured

if TYPE_CHECKING:
    from pathlib import Path

MACHINES, HOSTS, TICKS, TIMES = 10_000, 100, 22, 20


class _Busy(LibvirtHypervisor):
    """A host whose machines are busy: the test driver itself tells of no counters."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._asked = 0

    async def statistics(self) -> list[DomainStatistics]:
        """Return counters that grow."""
        self._asked += 1
        grown = self._asked * 1_234_567_890
        counters = (2048, self._asked * 29_000, grown, grown, grown, grown)
        return [DomainStatistics(each.uuid, each.run, *counters) for each in await super().statistics()]


@dataclass
class _Link:
    id: str
    hypervisor: LibvirtHypervisor
    alive: bool = True


class _Hosts:
    def __init__(self, links: dict[str, _Link]) -> None:
        self.links = links


class _Held(Unmeasured):
    """Remembers for how long writes kept others from writing."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wrote(self, waited: float, seconds: float) -> None:
        """Remember it."""
        del waited
        self.seconds.append(seconds)


async def measure(folder: Path, database_url: str | None) -> dict[str, Any]:
    """Return the figures."""
    site = Site(
        folder / "metering", hosts=HOSTS, machines=MACHINES, running=MACHINES, database_url=database_url
    )
    await site.build(port=1)
    links = {name: _Link(name, _Busy(f"test://{site.folder / name}.xml")) for name in site.names}
    await asyncio.gather(*(link.hypervisor.open() for link in links.values()))
    store = await Store.open(site.url, site.hub_id)
    held = store.turn.measures = _Held()
    lag = LoopLag(0.02)
    watching = None
    try:
        meter = Meter(store, _Hosts(links))  # type: ignore[arg-type]
        slot = int(time.time()) // TICK - TICKS
        times = []
        for number in range(TICKS):
            if number == 2:  # noqa: PLR2004 - the first ones make the series
                watching = asyncio.create_task(lag.run())
            held.seconds.clear()
            began, busy = time.perf_counter(), time.process_time()
            await meter.tick(slot + number)
            times.append((time.perf_counter() - began, max(held.seconds), time.process_time() - busy))
        worst = lag.worst
        # Some make slots of coarser tiers too.
        took, writing, computing = ([each[part] for each in times[2:]] for part in range(3))
        asked = await _asked(UsageHistory(store), [known.id for known in site.known[:50]])
    finally:
        if watching is not None:
            watching.cancel()
        await asyncio.gather(*(link.hypervisor.close() for link in links.values()))
        await store.close()
    bare = await asyncio.to_thread(_bare, [f"test://{site.folder / name}.xml" for name in site.names])
    return {
        "machines": MACHINES,
        "hosts": HOSTS,
        "first": times[0][0] + times[1][0],
        "tick": percentile(took, 0.5),
        "slowest": max(took),
        "write": percentile(writing, 0.5),
        "cpu": percentile(computing, 0.5),
        "lag": worst,
        "bare": bare,
        "ratio": percentile(took, 0.5) / bare,
        **asked,
    }


async def _asked(history: UsageHistory, ids: list[str]) -> dict[str, float]:
    """Return the seconds of a chart of one machine, and of small ones of fifty."""
    found = {"chart": [], "charts": []}  # type: dict[str, list[float]]
    for number in range(TIMES):
        began = time.perf_counter()
        await history.machine(ids[number % len(ids)], None, Range())
        found["chart"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await history.machines(ids, None, Range())
        found["charts"].append(time.perf_counter() - began)
    return {name: percentile(times, 0.95) for name, times in found.items()}


def _bare(uris: list[str]) -> float:
    """Return the seconds in which libvirt alone tells the same, one host after the other."""
    connections = [libvirt.open(uri) for uri in uris]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for connection in connections:
            connection.getAllDomainStats(bulkstats.GROUPS, bulkstats.FLAGS)
        times.append(time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return percentile(times, 0.5)
