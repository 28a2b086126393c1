"""Threads for calls that block, with deadlines.

They are daemon threads: a call that never returns must not keep the program from ending, which it would with
`concurrent.futures.ThreadPoolExecutor`. Such a call cannot be ended either; its thread is given up and
replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cernvmapi.errors import HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MOST_GIVEN_UP = 32


@dataclass
class _Job(Generic[T]):
    function: Callable[[], T]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    begins: asyncio.Future[None] | None = None
    begun: bool = False
    ended: bool = False
    given_up: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    """Of who asked, so that what the call logs says what it is for."""

    def run(self) -> None:
        with self.lock:
            if self.given_up:
                return
            self.begun = True
        if self.begins is not None:
            self._finish(self._begin, None)
        try:
            result = self.context.run(self.function)
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
            self._finish(self._set_exception, error)
        else:
            self._finish(self._set_result, result)

    def refuse(self, error: Exception) -> None:
        """Answer with an error (in the event loop) what was not begun."""
        if self.begins is not None and not self.begins.done():
            self.begins.set_exception(error)

    def _begin(self, _: None) -> None:
        if self.begins is not None and not self.begins.done():
            self.begins.set_result(None)

    def _finish(self, setter: Callable[[Any], None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(setter, value)

    def _set_result(self, value: T) -> None:
        if not self.future.done():
            self.future.set_result(value)

    def _set_exception(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Workers:
    """A few daemon threads that do one connection's calls.

    Parameters
    ----------
    name
        Of the threads, for whoever looks at a stack dump.
    size
        How many calls run at the same time.
    """

    def __init__(self, name: str, size: int = 4) -> None:
        self._name = name
        self._size = size
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._stuck = 0
        self._stopped = False

    @property
    def stuck(self) -> int:
        """How many calls passed their deadline and did not return yet."""
        return self._stuck

    async def run(self, function: Callable[[], T], deadline: float) -> T:
        """Call `function` in a thread and return what it returns.

        Parameters
        ----------
        deadline
            Seconds from the call's begin; waiting for a free thread does not count, so that a long queue
            is not taken for a hypervisor that hangs.

        Raises
        ------
        TimeoutError
            The deadline passed; a call that had begun goes on, unheard.
        HostUnreachable
            So many calls never returned that no more are begun, or the workers were stopped.
        """
        if self._stopped:
            raise HostUnreachable("The connection was given up.")
        if self._stuck >= _MOST_GIVEN_UP:
            raise HostUnreachable(f"{self._stuck} calls to the hypervisor never returned.")
        loop = asyncio.get_running_loop()
        job = _Job(function, loop, loop.create_future(), loop.create_future())
        assert job.begins is not None
        self._jobs.put(job)
        self._need_thread()
        try:
            await job.begins
            return await asyncio.wait_for(job.future, deadline)
        except (TimeoutError, asyncio.CancelledError):
            self._give_up(job)
            raise

    def stop(self) -> None:
        """Refuse what was not begun and let the threads end (called in the event loop)."""
        self._stopped = True
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.given_up = True
                    job.refuse(HostUnreachable("The connection was given up."))
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _give_up(self, job: _Job[Any]) -> None:
        with job.lock:
            job.given_up = True
            if not job.begun or job.ended:
                return
        with self._lock:
            self._stuck += 1
        self._need_thread()  # in its place, for those who wait

    def _need_thread(self) -> None:
        with self._lock:
            if self._idle >= self._jobs.qsize() or self._threads - self._stuck >= self._size:
                return
            self._threads += 1
        threading.Thread(target=self._work, name=f"hypervisor {self._name}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                break
            job.run()
            with self._lock, job.lock:
                job.ended = True
                if job.given_up and job.begun:
                    self._stuck -= 1
                surplus = self._threads - self._stuck > self._size
                if surplus:
                    break
        with self._lock:
            self._threads -= 1


async def in_own_thread(function: Callable[[], T], name: str, deadline: float | None = None) -> T:
    """Call `function` in a daemon thread of its own: for what may take very long, or for ever.

    Raises
    ------
    TimeoutError
        The deadline passed; the call goes on, unheard.
    """
    loop = asyncio.get_running_loop()
    job = _Job(function, loop, loop.create_future())
    threading.Thread(target=job.run, name=name, daemon=True).start()
    return await asyncio.wait_for(job.future, deadline)
