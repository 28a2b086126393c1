"""One write at a time: who writes waits for its turn, and how long that takes is known."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from cernvmcontroller.telemetry.measures import Measures, Unmeasured


class Turn:
    """A lock that says how long it was waited for, and how long it was held."""

    def __init__(self) -> None:
        self.measures: Measures = Unmeasured()
        self.waiting = 0
        """How many wait."""
        self._lock = asyncio.Lock()
        self._waited = self._begun = 0.0

    async def __aenter__(self) -> Self:
        asked = time.monotonic()
        self.waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self.waiting -= 1
        self._begun = time.monotonic()
        self._waited = self._begun - asked
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.measures.wrote(self._waited, time.monotonic() - self._begun)
        self._lock.release()
