"""A connection of libvirt's that is closed when nobody works on it any more.

libvirt frees a connection with its last reference, and a call that waits for an answer on it holds none:
closed under such a call, the process dies when that returns. So whoever gives a connection up leaves the
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
    """Lends a connection to calls, which run in threads of their own.

    Parameters
    ----------
    connection
        ``libvirt.virConnect``.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self._calls = 0
        self._given_up = False

    def call(self, function: Callable[[Any], T]) -> T:
        """Call `function` with the connection and return what it returns (in a thread).

        Raises
        ------
        HostUnreachable
            The connection was given up before the call began.
        """
        with self._lock:
            if self._given_up:
                raise HostUnreachable("The connection was given up.")
            self._calls += 1
        try:
            return function(self.connection)
        except BaseException as error:
            forget_frames(error)
            raise
        finally:
            with self._lock:
                self._calls -= 1
                last = self._unused()
            if last:
                self._close()

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

    def _unused(self) -> bool:
        return self._given_up and not self._calls

    def _close(self) -> None:
        with contextlib.suppress(libvirt.libvirtError):
            self.connection.close()
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
