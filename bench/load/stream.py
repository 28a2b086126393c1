"""500 listeners: how long after a commit the last of them knows, and whether any misses anything."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bench.installation import BenchFailed
from bench.load.figures import percentile
from bench.load.process import PATIENCE, Controller
from bench.load.site import Site
from cernvmapi.models import API_PREFIX, MachineCreate

if TYPE_CHECKING:
    from pathlib import Path

LISTENERS, CHANGES = 500, 40
PAUSE = 0.1
"""Seconds between two changes."""


class Listener:
    """One connection with an event stream; notes when each event came, and reads nothing but ids.

    Parameters
    ----------
    port, token
        Of the controller.
    after
        Id of the last event that it knows.
    """

    def __init__(self, port: int, token: str, after: int) -> None:
        self.heard: dict[int, float] = {}
        self._port, self._token, self._after = port, token, after

    async def listen(self, ready: asyncio.Event) -> None:
        """Read until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        request = (
            f"GET {API_PREFIX}/events?after={self._after} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n"
        )
        writer.write(request.encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"retry:"):
                    ready.set()
                    await reader.readline()  # where the stream begins is no event
                elif line.startswith(b"id:"):
                    self.heard[int(line[3:])] = time.monotonic()
        finally:
            writer.close()


async def measure(folder: Path, database_url: str | None) -> dict[str, Any]:
    """Return the figures.

    Raises
    ------
    BenchFailed
        A listener missed an event.
    """
    async with Controller(Site(folder / "stream", database_url=database_url)) as controller:
        client, site = controller.client, controller.site
        before = await controller.weight()
        after = (await client.machines.list(limit=1)).event_id
        listeners = [Listener(controller.port, site.token, after) for _ in range(LISTENERS)]
        ready = [asyncio.Event() for _ in listeners]
        listening = [asyncio.create_task(one.listen(ok)) for one, ok in zip(listeners, ready, strict=True)]
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(ok.wait() for ok in ready))
            await controller.ask()
            for number in range(CHANGES):
                await client.machines.create(MachineCreate(owner=f"user{number}"))
                await asyncio.sleep(PAUSE)
            weight = await controller.weight()
            published = {event: at for event, at in weight.published if event > after}
            await _until_heard(listeners, set(published))
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
    last = [max(one.heard[event] for one in listeners) - at for event, at in published.items()]
    return {
        "listeners": LISTENERS,
        "events": len(published),
        "delivered": sum(len(one.heard) for one in listeners),
        "p50": percentile(last, 0.5),
        "p95": percentile(last, 0.95),
        "kib_per_listener": (weight.rss_mib - before.rss_mib) * 1024 / LISTENERS,
    }


async def _until_heard(listeners: list[Listener], events: set[int]) -> None:
    deadline = time.monotonic() + 30
    while not all(events <= one.heard.keys() for one in listeners):
        if time.monotonic() > deadline:
            missed = sum(len(events - one.heard.keys()) for one in listeners)
            raise BenchFailed(f"{missed} events did not reach their listeners.")
        await asyncio.sleep(0.05)
