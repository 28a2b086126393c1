"""10,000 machines in the database: memory, pages and searches over HTTP, with an event stream open."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from bench.load.figures import percentile
from bench.load.process import Controller
from bench.load.site import Site
from cernvmapi.models import Event, MachineCreate

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.client import AsyncClient

MACHINES, RUNNING, TIMES = 10_000, 2000, 60
QUERIES: dict[str, dict[str, Any]] = {
    "page": {},
    "page by name": {"sort": "name"},
    "search": {"search": "analysis 99"},
    "search for nothing": {"search": "no such thing"},
    "one owner": {"owner": "user00017"},
}


async def measure(folder: Path, database_url: str | None) -> dict[str, Any]:
    """Return the figures."""
    async with Controller(Site(folder / "empty", machines=0)) as empty:
        floor = (await empty.weight()).rss_mib
    site = Site(folder / "full", machines=MACHINES, running=RUNNING, database_url=database_url)
    async with Controller(site) as controller:
        ready = controller.ready
        await controller.settled()
        weight = await controller.weight()
        found: dict[str, Any] = {
            "machines": MACHINES,
            "running": RUNNING,
            "ready": ready,
            "rss_mib": weight.rss_mib,
            "kib_per_machine": (weight.rss_mib - floor) * 1024 / MACHINES,
        }
        for name, query in QUERIES.items():
            times = await _times(controller.client, **query)
            found[name] = {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95)}
        found["event while listing"] = await _event_while_listing(controller.client)
        return found


async def _times(client: AsyncClient, **query: Any) -> list[float]:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await client.machines.list(limit=100, **query)
        times.append(time.perf_counter() - began)
    return times


async def _event_while_listing(client: AsyncClient) -> float:
    """Return the seconds from a change's request to its event, while others list all the time."""
    after = (await client.machines.list(limit=1)).event_id
    stop = asyncio.Event()

    async def keep_listing() -> None:
        while not stop.is_set():
            await client.machines.list(limit=100)

    listing = [asyncio.create_task(keep_listing()) for _ in range(4)]
    try:
        async with asyncio.timeout(60), aclosing(client.events(after=after)) as events:
            began = time.perf_counter()
            made = await client.machines.create(MachineCreate(owner="newcomer"))
            async for event in events:
                if _tells_of(event, made.id):
                    return time.perf_counter() - began
    finally:
        stop.set()
        await asyncio.gather(*listing)
    raise AssertionError("a stream of events does not end")


def _tells_of(event: Event, machine: str) -> bool:
    return event.subject == f"machine/{machine}"
