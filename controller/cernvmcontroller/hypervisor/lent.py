"""Connections to one daemon, each lent to one call at a time, and closed when nobody works on them any more.

Of several calls on one connection libvirt before 10.4 may let one write into the stack of another that has
returned already (CVE-2024-4418): so each call has a connection that nobody else uses meanwhile.

libvirt frees a connection with its last reference, and a call that waits for an answer on it holds none:
closed under such a call, the process dies when that returns. So whoever gives connections up leaves the
closing to the last call.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from cernvmapi.errors import HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Lent:
    """Lends connections to calls, which run in threads of their own.

    Parameters
    ----------
    connection
        ``libvirt.virConnect``: the first one, which events and streams come over.
    another
        Opens one more to the same daemon. Without it all calls have the first one, several at a time: for
        drivers in whose URI another connection is another host.
    """

    def __init__(self, connection: Any, another: Callable[[], Any] | None = None) -> None:
        self.connection = connection
        self.closed = threading.Event()
        self._another = another
        self._idle: list[Any] = []
        self._all: list[Any] = [connection]
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._calls = 0
        self._opening = 0
        self._given_up = False

    @property
    def opening(self) -> int:
        """How many calls wait for a connection to come about."""
        return self._opening

    def call(self, function: Callable[[Any], T]) -> T:
        """Call `function` with a connection of its own and return what it returns (in a thread).

        Raises
        ------
        HostUnreachable
            The connections were given up before the call began.
        libvirt.libvirtError
            One more did not come about.
        """
        if self._another is None:
            return self._counted(lambda: function(self.connection))
        return self._counted(lambda: self._on_one(function))

    def call_first(self, function: Callable[[Any], T]) -> T:
        """Call `function` with the first connection, one after the other: what events and streams begin with.

        Raises
        ------
        HostUnreachable
            As for `call`.
        """

        def in_turn() -> T:
            with self._turn:
                return function(self.connection)

        return self._counted(in_turn)

    def give_up(self) -> None:
        """Begin no call any more, and close after the last; waits for nothing."""
        with self._lock:
            if self._given_up:
                return
            self._given_up = True
            unused = self._unused()
        if unused:
            # On a silent peer even that may block.
            threading.Thread(target=self._close, name="hypervisor close", daemon=True).start()

    def _counted(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._given_up:
                raise HostUnreachable("The connection was given up.")
            self._calls += 1
        try:
            return work()
        except BaseException as error:
            forget_frames(error)
            raise
        finally:
            with self._lock:
                self._calls -= 1
                last = self._unused()
            if last:
                self._close()

    def _on_one(self, function: Callable[[Any], T]) -> T:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            return function(connection)
        finally:
            with self._lock:
                self._idle.append(connection)

    def _open(self) -> Any:
        assert self._another is not None
        with self._lock:
            self._opening += 1
        try:
            connection = self._another()
        finally:
            with self._lock:
                self._opening -= 1
        with self._lock:
            self._all.append(connection)
        return connection

    def _unused(self) -> bool:
        return self._given_up and not self._calls

    def _close(self) -> None:
        for connection in self._all:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()
        self.closed.set()


def forget_frames(error: BaseException) -> None:
    """Let go of what the calls that ended in an error had in their variables.

    libvirt's objects hold their connection. In the traceback of an error that somebody keeps they would keep
    it open until the garbage collection, which then ends it in the middle of anything; libvirt has crashed
    there.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__
