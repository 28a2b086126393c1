"""The queue that moves machines towards their targets: deduplicating, one job a machine, with back-off.

Waiting costs a task and nothing else; what hosts must not do all at once is bounded where it is done, by each
host's slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from cernvmcontroller import trace
from cernvmcontroller.machines.job import Job
from cernvmcontroller.tasks import end
from cernvmcontroller.telemetry.figures import Queue

_log = structlog.get_logger(__name__)
_CEILING = 60.0

Work = Callable[[str, Job], Awaitable[bool]]
"""Looks at one machine; returns False where it shall be tried again after a pause."""


class Reconciler:
    """The queue.

    Parameters
    ----------
    work
        Called for a machine that is queued, never twice at the same time for one machine.
    retry
        Seconds before the first repetition; doubled for each further one.
    """

    def __init__(self, work: Work, retry: float = 1.0) -> None:
        self._work = work
        self._retry = retry
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._jobs: dict[str, Job] = {}
        self._dirty: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._since: dict[str, float] = {}
        self._retries = 0
        self._closed = False
        self._quiet = asyncio.Condition()

    def poke(self, machine: str) -> None:
        """Have the machine looked at, soon and once; wake whatever waits for it."""
        if self._closed:
            return
        timer = self._timers.pop(machine, None)
        if timer is not None:
            timer.cancel()
        self._dirty.add(machine)
        if machine in self._jobs:
            self._jobs[machine].wake()
        elif machine not in self._tasks:
            self._tasks[machine] = asyncio.create_task(self._run(machine), name=f"reconcile {machine}")

    def interrupt(self, machine: str) -> None:
        """End what is done with the machine at the next point where that is safe, and look at it again."""
        if machine in self._jobs:
            self._jobs[machine].interrupt()
        self.poke(machine)

    @property
    def queue(self) -> Queue:
        """How much there is to do."""
        now = time.monotonic()
        oldest = now - min(self._since.values(), default=now)
        return Queue(len(self._tasks), oldest, len(self._timers), self._retries)

    async def quiet(self) -> None:
        """Wait until nothing is queued and nothing runs; repetitions that wait do not count."""
        async with self._quiet:
            await self._quiet.wait_for(lambda: not self._tasks)

    async def close(self) -> None:
        """End all jobs where they are; what they did is persisted."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        await end(self._tasks.values())

    async def _run(self, machine: str) -> None:
        try:
            while machine in self._dirty:
                self._dirty.discard(machine)
                trace.begin(machine=machine)
                self._since[machine] = time.monotonic()
                job = self._jobs[machine] = Job()
                try:
                    good = await self._work(machine, job)
                except Exception:  # noqa: BLE001 - one machine's trouble must not end the queue
                    _log.exception("reconciling failed")
                    good = False
                finally:
                    del self._jobs[machine]
                if good:
                    self._failures.pop(machine, None)
                elif machine not in self._dirty:
                    self._later(machine)
        finally:
            del self._tasks[machine]
            self._since.pop(machine, None)
            with contextlib.suppress(RuntimeError):
                async with self._quiet:
                    self._quiet.notify_all()

    def _later(self, machine: str) -> None:
        failures = self._failures[machine] = self._failures.get(machine, 0) + 1
        pause = min(self._retry * 2 ** (failures - 1), _CEILING)
        self._timers[machine] = asyncio.get_running_loop().call_later(pause, self._again, machine)

    def _again(self, machine: str) -> None:
        self._retries += 1
        self._timers.pop(machine, None)
        self.poke(machine)
