"""What the hub knows of its machines: one event stream for all spawners, so that a poll is a look-up.

The watcher lists the machines that serve a hub server and then follows the controller's events from exactly
there. The client resumes a broken stream where it ended, so nothing is missed while the controller restarts;
when the controller no longer has what came in between, the machines are listed again. What was known stays
known meanwhile: a controller that does not answer, or that lost its database and does not know all machines
yet (`Busy`), says nothing about the machines.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import weakref
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from cernvmapi.errors import CernVMError, NotFound
from cernvmapi.models import Event, Machine

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from cernvmapi.client import AsyncClient

    Log = logging.Logger | logging.LoggerAdapter[Any]

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds between attempts to reach the controller."""

PAGE = 500

T = TypeVar("T")

Key = tuple[str, str]


class ListAgain(Exception):
    """The controller no longer has all the events since the last one that is known."""


class MachineWatcher:
    """The machines of one controller, kept up to date.

    Parameters
    ----------
    client
        Of the controller; spawners share it.
    log
        Where outages, restarts and their ends are written.
    """

    def __init__(self, client: AsyncClient, log: Log) -> None:
        self.client = client
        self.log = log
        self.cleanups: dict[Key, asyncio.Task[None]] = {}
        """What is being removed in the background, by whose server it was; outlives the spawner objects."""
        self.start_timeout = 0.0
        """Seconds after which the controller gives a start up and says why; 0 before it has told."""
        self._machines: dict[str, Machine] = {}
        self._noted: dict[str, Machine] = {}
        self._after: int | None = None
        self._loaded = asyncio.Event()
        self._listeners: dict[str, set[asyncio.Queue[Machine | None]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._background: set[asyncio.Task[Any]] = set()

    def ensure_running(self) -> None:
        """Start watching, if nobody does."""
        if self._closed or (self._task and not self._task.done()):
            return
        # In a context of its own: it is nobody's request, whoever was the first to need it.
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="cernvm-machine-watcher", context=contextvars.Context()
        )
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Begin again after a fault in the watcher itself, and say so: it must not die in silence."""
        if self._closed or task.cancelled():
            return
        self.log.error("The watcher of the machines ended (%r); it begins again", task.exception())
        self._after = None
        asyncio.get_running_loop().call_later(FIRST_PAUSE, self.ensure_running)

    async def loaded(self) -> None:
        """Wait until the machines were listed once: before that, nothing is known about any of them."""
        self.ensure_running()
        await self._loaded.wait()

    def get(self, machine_id: str) -> Machine | None:
        """Return a machine as it was last seen; None if there is none."""
        return self._machines.get(machine_id)

    def serving(self, owner: str, server_name: str) -> list[Machine]:
        """Return the machines that serve or served a user's server."""
        return [
            one for one in self._machines.values() if one.owner == owner and one.server_name == server_name
        ]

    def note(self, machine: Machine) -> None:
        """Take over what an answer of the controller says, which may come before its event."""
        known = self._machines.get(machine.id)
        if machine.server_name is None or (known and known.revision >= machine.revision):
            return
        self._machines[machine.id] = machine
        self._noted[machine.id] = machine
        self._tell(machine.id, machine)

    def forget(self, machine_id: str) -> None:
        """Take over that a machine is gone."""
        self._noted.pop(machine_id, None)
        if self._machines.pop(machine_id, None):
            self._tell(machine_id, None)

    async def follow(self, machine_id: str) -> AsyncGenerator[Machine | None]:
        """Yield a machine as it is, then after each change; None when it is gone. Any number may listen."""
        queue: asyncio.Queue[Machine | None] = asyncio.Queue()
        self._listeners[machine_id].add(queue)
        try:
            await self.loaded()
            yield self.get(machine_id)
            while True:
                yield await queue.get()
        finally:
            self._listeners[machine_id].discard(queue)
            if not self._listeners[machine_id]:
                del self._listeners[machine_id]

    async def close(self) -> None:
        """Stop watching and close the connections."""
        self._closed = True
        tasks = [one for one in (self._task, *self.cleanups.values(), *self._background) if one]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close()

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                if self._after is None:
                    await self._list()
                    pause = FIRST_PAUSE
                await self._follow_events()
            except ListAgain:
                self._after = None
            except CernVMError as error:
                self.log.warning("The machines cannot be watched at the moment: %s", error.detail)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not to come all at once
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _list(self) -> None:
        self._noted.clear()
        # It may be another controller than before, with other deadlines. Nothing but a warning hangs on them.
        with suppress(CernVMError):
            self.start_timeout = (await self.client.health(details=True)).start_timeout
        machines: dict[str, Machine] = {}
        cursor: str | None = None
        after: int | None = None
        while True:
            page = await self.client.machines.list(limit=PAGE, cursor=cursor)
            # Events since the first page tell what changed while the others were read.
            after = page.event_id if after is None else after
            machines.update({one.id: one for one in page.items if one.server_name is not None})
            cursor = page.next
            if cursor is None:
                break
        before = self._machines
        # What an answer said while the pages were read is newer than they are, or as new.
        self._machines = machines | {
            one.id: one
            for one in self._noted.values()
            if one.id not in machines or machines[one.id].revision < one.revision
        }
        self._after = after
        self._loaded.set()
        for machine_id in before.keys() | self._machines.keys():
            if before.get(machine_id) != self._machines.get(machine_id):
                self._tell(machine_id, self._machines.get(machine_id))
        self.log.info("Watching %d machines", len(self._machines))

    async def _follow_events(self) -> None:
        stream = self.client.events(
            after=self._after, types=["machine.changed", "machine.deleted"], on_connection=self._connection()
        )
        try:
            async for event in stream:
                if event.type == "reset":
                    raise ListAgain
                self._take(event)
                self._after = event.id
        finally:
            await stream.aclose()

    def _connection(self) -> Callable[[bool], None]:
        lost = False

        def changed(connected: bool) -> None:
            nonlocal lost
            if lost and connected:
                self.log.info("The controller's events are followed again")
            elif not lost and not connected:
                self.log.warning("The controller's events broke off; waiting for it to come back")
            lost = not connected

        return changed

    def _take(self, event: Event) -> None:
        machine_id = event.subject.removeprefix("machine/")
        if event.type == "machine.deleted":
            self.forget(machine_id)
        elif event.type == "machine.changed":
            machine = msgspec.convert(event.data, Machine)
            known = self._machines.get(machine.id)
            if machine.server_name is None or (known and known.revision >= machine.revision):
                return
            self._machines[machine.id] = machine
            self._tell(machine.id, machine)

    def _tell(self, machine_id: str, machine: Machine | None) -> None:
        for queue in self._listeners.get(machine_id, ()):
            queue.put_nowait(machine)

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine until it ends or the watcher is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def clean_up(self, key: Key, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work`, a coroutine function, in the background; once at a time for each server."""
        running = self.cleanups.get(key)
        if running and not running.done():
            return
        task = asyncio.get_running_loop().create_task(self._cleaned(key, work))
        self.cleanups[key] = task

    async def _cleaned(self, key: Key, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except NotFound:
            pass
        except (CernVMError, TimeoutError) as error:
            self.log.warning(
                "A machine of %s could not be removed now (%s); the next start does it", key[0], error
            )
        finally:
            self.cleanups.pop(key, None)

    async def cleaned_up(self, key: Key) -> None:
        """Wait until what is being removed for a server is gone."""
        task = self.cleanups.get(key)
        if task:
            await asyncio.wait([task])


_SHARED: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, MachineWatcher]] = (
    weakref.WeakKeyDictionary()
)


def shared_watcher(url: str, make_client: Callable[[], AsyncClient], log: Log) -> MachineWatcher:
    """Return the watcher of the controller at `url`: one for all the spawners of this process."""
    of_loop = _SHARED.setdefault(asyncio.get_running_loop(), {})
    if url not in of_loop:
        of_loop[url] = MachineWatcher(make_client(), log)
    watcher = of_loop[url]
    watcher.ensure_running()
    return watcher


async def close_all() -> None:
    """Close the watchers of this event loop."""
    for watcher in _SHARED.pop(asyncio.get_running_loop(), {}).values():
        await watcher.close()
