"""A connection to one libvirt daemon that comes back when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor import errors, eventloop
from cernvmcontroller.hypervisor.breaker import BackOff, Breaker
from cernvmcontroller.hypervisor.domainevents import DomainEvents
from cernvmcontroller.hypervisor.interface import Callback, ConnectionEvent, HypervisorEvent
from cernvmcontroller.hypervisor.lent import Lent, forget_frames
from cernvmcontroller.hypervisor.peer import Address, Peer, connections, hang_up
from cernvmcontroller.hypervisor.refusal import explain, shown
from cernvmcontroller.hypervisor.workers import Workers, in_own_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cernvmcontroller.hypervisor.interface import DomainEvent

T = TypeVar("T")
log = logging.getLogger(__name__)

_KEEP_ALIVE = (2, 2)
"""Seconds between questions, and how many may stay unanswered: a dead peer is noticed within six seconds."""

_MOST_ATTEMPTS = 4
"""Attempts to connect that hang at the same time: those over SSH, and to a silent socket of this machine."""


class Connection:
    """Keeps a connection, does calls on it and tells what happens to it.

    Parameters
    ----------
    uri
        For libvirt.
    deadline
        Seconds that a call may take.
    connect_deadline
        Seconds that connecting may take.
    threads
        How many quick calls, and how many slow ones, run at the same time.
    """

    def __init__(
        self,
        uri: str,
        *,
        deadline: float = 30,
        connect_deadline: float = 10,
        threads: int = 4,
        back_off: BackOff | None = None,
    ) -> None:
        self.uri = uri
        self.name = shown(uri)
        self._peer = Peer.of(uri)
        self._address: Address | None = None
        self._single = uri.startswith("test:")  # another connection would be another host
        self.deadline = deadline
        self.connect_deadline = connect_deadline
        self.reason = "not connected yet"
        self._threads = threads
        self._make_workers()
        self._breaker = Breaker()
        self._back_off = back_off or BackOff()
        self._subscribers: list[Callback] = []
        self._dependants: list[Callable[[], None]] = []
        self._lent: Lent | None = None
        self._events: DomainEvents | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()
        self._answers = asyncio.Event()
        self._pending = _Pending()
        self._hanging: _Attempt | None = None

    @property
    def alive(self) -> bool:
        """Whether the hypervisor answers, as far as is known."""
        return self._lent is not None

    @property
    def stuck(self) -> int:
        """How many calls passed their deadline and did not return yet."""
        return self._quick.stuck + self._slow.stuck

    @property
    def breaker_open(self) -> bool:
        """Whether so many deadlines were missed in a row that nothing is asked until it answers again."""
        return self._breaker.tripped

    # --- life ---

    async def open(self) -> None:
        """Connect, and keep connected from now on, also if the first attempt fails."""
        if self._keeper is None:
            self._loop = asyncio.get_running_loop()
            self._first = self._loop.create_future()
            self._keeper = self._loop.create_task(self._keep(), name=f"connection {self.name}")
        assert self._first is not None
        await asyncio.shield(self._first)

    async def close(self) -> None:
        """Disconnect for good."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        self._hang_up()
        lent = self._forget("closed")
        if lent is not None:
            lent.give_up()
            with contextlib.suppress(TimeoutError):
                await in_own_thread(lent.closed.wait, "hypervisor close", self.connect_deadline)
        self._stop_workers()
        self._make_workers()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` in the event loop with every event; return what ends that."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def when_lost(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` in the event loop, once, when this connection ends; return what prevents that."""
        self._dependants.append(callback)

        def forget() -> None:
            if callback in self._dependants:
                self._dependants.remove(callback)

        return forget

    # --- calls ---

    async def call(
        self,
        function: Callable[[Any], T],
        *,
        deadline: float | None = None,
        slow: bool = False,
        lasting: bool = False,
    ) -> T:
        """Call `function` with a connection of libvirt's in a thread and return what it returns.

        Parameters
        ----------
        deadline
            Seconds from its begin; waiting for a free thread does not count.
        slow
            It takes libvirt more than a moment (a start, an upload): it waits with its like, so that
            a thousand starts keep nobody from asking how a machine is.
        lasting
            It leaves something behind that lives on with the connection (a stream): it has the first one,
            whose end is told of (`when_lost`).

        Raises
        ------
        HostUnreachable
            There is no connection, it was lost, or the deadline passed.
        HypervisorFailed, NotFound
            What libvirt said.
        """
        lent = self.connected()
        seconds = self.deadline if deadline is None else deadline
        try:
            workers = self._slow if slow else self._quick
            do = lent.call_first if lasting else lent.call
            result = await workers.run(lambda: do(function), seconds)
        except TimeoutError:
            if self._breaker.missed():
                self._lose(lent, f"no answer {self._breaker.threshold} times in a row")
            raise HostUnreachable(f"{self.name} did not answer within {seconds:g} s.") from None
        except libvirt.libvirtError as error:
            raise self._translated(lent, error) from error
        self._breaker.answered()
        return result

    async def call_long(self, function: Callable[[Any], T], name: str) -> T:
        """Call `function` like `call`, in a thread and on a connection of its own, without a deadline."""
        self.connected()

        def work() -> T:
            with self.own() as connection:
                return function(connection)

        try:
            return await in_own_thread(work, name)
        except libvirt.libvirtError as error:
            raise errors.translate(error) from error

    @contextlib.contextmanager
    def own(self) -> Iterator[Any]:
        """Yield a connection of libvirt's that nobody else uses (in a thread), for what takes long.

        What takes long may end the daemon's patience with the others' calls, and be ended with a connection
        (`~cernvmcontroller.hypervisor.lent` says why no two calls share one).

        Raises
        ------
        HostUnreachable
            There is no connection at all.
        libvirt.libvirtError
            It does not come about.
        """
        if self._single:
            yield self.connected().connection
            return
        self.connected()
        connection = _opened(self.uri)
        try:
            yield connection
        except BaseException as error:
            forget_frames(error)
            raise
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def _make_workers(self) -> None:
        self._quick, self._slow = Workers(self.name, self._threads), Workers(self.name, self._threads)

    def _stop_workers(self) -> None:
        self._quick.stop()
        self._slow.stop()

    def connected(self) -> Lent:
        """Return libvirt's connection or raise `HostUnreachable`."""
        if self._lent is None:
            raise HostUnreachable(f"{self.name} does not answer: {self.reason.rstrip('.')}.")
        return self._lent

    def _translated(self, lent: Lent, error: libvirt.libvirtError) -> Exception:
        if errors.is_connection_lost(error):
            self._lose(lent, str(error))
        else:
            self._breaker.answered()
        return errors.translate(error)

    # --- connecting, again and again ---

    async def _keep(self) -> None:
        while True:
            try:
                await self._connect()
            except (HostUnreachable, OSError) as error:
                self.reason = str(error)
                self._answer_first(error)
                await self._pause()
                continue
            self._back_off.reset()
            self._answer_first(None)
            self._emit(ConnectionEvent(alive=True))
            await self._lost.wait()
            await self._pause()

    async def _pause(self) -> None:
        """Wait before the next attempt, not longer than until an attempt that hung was answered after all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._back_off.next()):
                await self._answers.wait()
                self._back_off.reset()

    def _answer_first(self, error: Exception | None) -> None:
        first = self._first
        if first is None or first.done():
            return
        if error is None:
            first.set_result(None)
        else:
            first.set_exception(error)
            first.exception()  # whoever waits gets it; nobody need wait

    async def _connect(self) -> None:
        if self._pending.count >= _MOST_ATTEMPTS:
            raise HostUnreachable(f"{self._pending.count} attempts to connect to {self.name} hang.")
        self._answers.clear()
        silence = HostUnreachable(f"{self.name} did not answer within {self.connect_deadline:g} s.")
        try:
            address = await self._peer.reach(self.connect_deadline) if self._peer else None
        except TimeoutError:
            raise silence from None
        self._hang_up()
        attempt = _Attempt(self.uri, self._pending, lambda: self._in_loop(self._answers.set), address)
        try:
            connection = await in_own_thread(attempt.run, "hypervisor open", self.connect_deadline)
        except TimeoutError:
            attempt.give_up()
            self._hanging = attempt
            raise silence from None
        except asyncio.CancelledError:
            attempt.give_up()
            attempt.hang_up()
            raise
        except libvirt.libvirtError as error:
            raise HostUnreachable(explain(str(error))) from error
        self._lost.clear()
        self._breaker.answered()
        assert self._loop is not None
        self._events = DomainEvents(self._hear)
        another = None if self._single else lambda: _opened(self.uri)
        events, lent = self._events, Lent(connection, another)
        try:
            await in_own_thread(
                lambda: lent.call_first(lambda libvirts: self._watch(libvirts, events)),
                "hypervisor watch",
                self.connect_deadline,
            )
        except (TimeoutError, libvirt.libvirtError) as error:
            events.mute()
            lent.give_up()
            raise HostUnreachable(f"{self.name} answered and then did not: {error}") from error
        self._lent, self.reason, self._address = lent, "", address

    def _hang_up(self) -> None:
        """End the attempt that hung last: until now it could tell that the peer answers again."""
        hanging, self._hanging = self._hanging, None
        if hanging is not None:
            hanging.hang_up()

    def _watch(self, connection: Any, events: DomainEvents) -> None:
        connection.registerCloseCallback(self._closed, None)
        events.register(connection)

    def _closed(self, connection: Any, reason: int, _opaque: object) -> None:
        """Hear from libvirt (in its event thread) that the connection is gone."""
        words = {
            libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "the daemon ended the connection",
            libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "the daemon no longer answers",
            libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: "closed",
        }.get(reason, "the connection broke")
        self._in_loop(self._lose_libvirts, connection, words)

    def _hear(self, event: DomainEvent) -> None:
        self._in_loop(self._emit, event)

    def _in_loop(self, function: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            assert self._loop is not None
            self._loop.call_soon_threadsafe(function, *args)

    def _lose_libvirts(self, connection: Any, reason: str) -> None:
        if self._lent is not None and connection is self._lent.connection:
            self._lose(self._lent, reason)

    def _lose(self, lent: Lent, reason: str) -> None:
        if lent is not self._lent:
            return
        log.warning("lost the connection to %s: %s", self.name, reason)
        self._forget(reason)
        lent.give_up()
        if lent.opening and self._address is not None:
            hang_up(self._address, set())  # libvirt would wait there for ever
        self._stop_workers()
        self._make_workers()
        self._emit(ConnectionEvent(alive=False, reason=reason))
        self._lost.set()

    def _forget(self, reason: str) -> Lent | None:
        lent, self._lent = self._lent, None
        self.reason = reason
        if self._events is not None:
            self._events.mute()
        dependants, self._dependants = self._dependants, []
        for callback in dependants:
            callback()
        return lent

    def _emit(self, event: HypervisorEvent) -> None:
        for callback in list(self._subscribers):
            try:
                callback(event)
            except Exception:
                log.exception("a subscriber of %s failed", self.name)


def _opened(uri: str) -> Any:
    eventloop.ensure()
    connection = libvirt.open(uri)
    # The test driver and some others have no keep-alive; they have no peer that could die either.
    with contextlib.suppress(libvirt.libvirtError):
        connection.setKeepAlive(*_KEEP_ALIVE)
    return connection


class _Pending:
    """Counts the attempts that hang."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()


class _Attempt:
    """One attempt to connect; a connection that comes too late is closed again, and told of.

    Parameters
    ----------
    came_late
        Called in the attempt's thread: the peer answers again.
    address
        Where libvirt will connect to, over the network.
    """

    def __init__(
        self, uri: str, pending: _Pending, came_late: Callable[[], None], address: Address | None
    ) -> None:
        self._uri = uri
        self._pending = pending
        self._came_late = came_late
        self._address = address
        self._others = connections(address) if address else set()
        self._given_up = False

    def give_up(self) -> None:
        """Nobody waits any more."""
        with self._pending.lock:
            self._given_up = True

    def hang_up(self) -> None:
        """End it, where it hangs on the network."""
        if self._address is not None:
            hang_up(self._address, self._others)

    def run(self) -> Any:
        """Connect (in a thread)."""
        with self._pending.lock:
            self._pending.count += 1
        try:
            connection = _opened(self._uri)
            connection.getLibVersion()
        finally:
            with self._pending.lock:
                self._pending.count -= 1
        with self._pending.lock:
            given_up = self._given_up
        if given_up:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()
            self._came_late()
        return connection
