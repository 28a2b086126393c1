"""One run of the reconciler over one machine: can be woken, and interrupted where it waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Interrupted(Exception):
    """Something else was asked of the machine; the step that was begun last is finished."""


class Job:
    """What a step may wait on.

    Calls to a hypervisor are never interrupted half-way: only waits are.
    """

    def __init__(self) -> None:
        self._interrupted = asyncio.Event()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that something happened to the machine."""
        self._woken.set()

    def interrupt(self) -> None:
        """Ask the job to end."""
        self._interrupted.set()
        self._woken.set()

    def checkpoint(self) -> None:
        """Raise `Interrupted` if the job was asked to end."""
        if self._interrupted.is_set():
            raise Interrupted

    async def until(self, work: Awaitable[T]) -> T:
        """Wait for `work`; on an interrupt, cancel it and raise `Interrupted`.

        What is done at the same moment counts: it may be a slot, which somebody has to give back.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.checkpoint()
            return task.result()
        finally:
            await end([stop, task])

    async def look(self, check: Callable[[], Awaitable[T | None]], seconds: float, every: float) -> T | None:
        """Call `check` after each wake-up, and `every` so many seconds, until it returns something.

        Returns
        -------
        object
            What `check` returned; None after `seconds`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            self.checkpoint()
            self._woken.clear()
            found = await check()
            if found is not None:
                return found
            self.checkpoint()
            left = deadline - loop.time()
            if left <= 0:
                return None
            try:
                async with asyncio.timeout(min(left, every)):
                    await self._woken.wait()
            except TimeoutError:
                continue
