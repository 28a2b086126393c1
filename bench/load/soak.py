"""The controller over minutes, with machines that come and go: what grows then is lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bench.installation import BenchFailed
from bench.load.figures import slope
from bench.load.process import Controller
from bench.load.site import Site
from cernvmapi.models import MachineCreate

if TYPE_CHECKING:
    from pathlib import Path

    from bench.load.process import Weight

RATE = 20
"""Events a second."""

WARM = 0.3
"""Share of the time that does not count: caches fill."""

SAMPLE = 1.0
LARGEST_SLOPE = 1.0
"""MiB a minute, over ten minutes; a shorter run says less, and may show four times as much."""


async def measure(folder: Path, database_url: str | None, seconds: float) -> dict[str, Any]:
    """Return the figures.

    Raises
    ------
    BenchFailed
        Open files or tasks are more at the end, or memory grows by more than `LARGEST_SLOPE` a minute.
    """
    site = Site(folder / "soak", machines=200, database_url=database_url)
    async with Controller(site) as controller:
        await controller.settled()
        began = time.monotonic()
        samples: list[tuple[float, Weight]] = []
        first = (await controller.client.machines.list(limit=1)).event_id
        weight, told = await controller.weight(), 0
        while (now := time.monotonic() - began) < seconds:
            if told < now * RATE:
                machine = await controller.client.machines.create(MachineCreate(owner="passer-by"))
                await controller.client.machines.delete(machine.id, wait=True)
            else:
                await asyncio.sleep(1 / RATE)
            if not samples or now - samples[-1][0] >= SAMPLE:
                weight = await controller.weight()
                told = (await controller.client.machines.list(limit=1)).event_id - first
                samples.append((now, weight))
        await controller.ask("quiet")
        rest = await controller.weight()
    counted = [(at, one) for at, one in samples if at >= seconds * WARM]
    growth = slope([(at / 60, one.rss_mib) for at, one in counted])
    limit = LARGEST_SLOPE * (1 if seconds >= 600 else 4)  # noqa: PLR2004
    found = {
        "seconds": seconds,
        "events_per_second": told / seconds,
        "rss_mib": [round(one.rss_mib, 1) for _, one in samples],
        "mib_per_minute": growth,
        "open_files": [counted[0][1].open_files, rest.open_files],
        "tasks": [counted[0][1].tasks, rest.tasks],
    }
    grown = rest.open_files > counted[0][1].open_files + 5 or rest.tasks > counted[0][1].tasks + 5
    if growth > limit or grown:
        raise BenchFailed(f"The controller grows: {found}")
    return found
