"""Kills a controller at a chosen instant, as SIGKILL does: nothing that it does after that has any effect."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any

from cernvmapi.errors import CernVMError, HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from cernvmcontroller.hypervisor.fake import FakeHypervisor
    from cernvmcontroller.store import Store


class Killed(Exception):
    """A commit that the controller did not live to see."""


class Killer:
    """Counts the instants of a controller: before and after each verb of a hypervisor and each commit.

    Parameters
    ----------
    instant
        At which the controller dies, counted from `strike` on; the first is 1. Without one it lives, and
        `count` tells how many there were.
    """

    def __init__(self, instant: float = math.inf) -> None:
        self._instant = instant
        self._armed = False
        self.count = 0
        self.dead = asyncio.Event()
        self.where = ""

    async def strike(self, work: Coroutine[Any, Any, None]) -> None:
        """Count from now on and do something, until that is done or the controller dies of it."""
        self._armed = True
        acting, dying = asyncio.create_task(work), asyncio.create_task(self.dead.wait())
        await asyncio.wait({acting, dying}, return_when=asyncio.FIRST_COMPLETED)
        acting.cancel()
        dying.cancel()
        with contextlib.suppress(Killed, CernVMError, asyncio.CancelledError):
            await acting

    def _dies(self, where: str) -> bool:
        if self._armed and not self.dead.is_set():
            self.count += 1
            if self.count >= self._instant:
                self.where = where
                self.dead.set()
        return self.dead.is_set()

    def watch(self, hypervisor: FakeHypervisor) -> None:
        """Count the verbs of a hypervisor."""
        before, after = hypervisor._before, hypervisor._after

        async def enter(verb: str, *, connected: bool = True) -> None:
            await before(verb, connected=connected)
            if self._dies(f"before {verb}"):
                raise HostUnreachable("killed")

        def leave(verb: str) -> None:
            after(verb)
            if self._dies(f"after {verb}"):
                raise HostUnreachable("killed")

        hypervisor._before, hypervisor._after = enter, leave  # type: ignore[method-assign]

    def watch_store(self, store: Store) -> None:
        """Count the commits of a store."""
        commit = store._commit

        async def counted(tx: object) -> None:
            if self._dies("before commit"):
                raise Killed
            await commit(tx)
            if self._dies("after commit"):
                raise Killed

        store._commit = counted  # type: ignore[method-assign]
