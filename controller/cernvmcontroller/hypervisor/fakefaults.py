"""Faults on demand: calls that fail, whose reply is lost, or that hang."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from cernvmapi.errors import HostUnreachable, HypervisorFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="FaultyCalls")


def verb(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Let injected faults act on a verb, before and after it does its work."""
    name = method.__name__

    @functools.wraps(method)
    async def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        await self._before(name)
        result = await method(self, *args, **kwargs)
        self._after(name)
        return result

    return wrapper


class FaultyCalls:
    """What calls have in common that can be told to fail.

    Parameters
    ----------
    uri
        What does not answer, in the errors.
    deadline
        Seconds after which a verb that hangs is given up.
    """

    def __init__(self, uri: str, deadline: float) -> None:
        self.uri = uri
        self.deadline = deadline
        self.alive = False
        self.reason = "not connected yet"
        self.calls: list[str] = []
        """Every verb that was called, in order."""
        self._failures: dict[str, list[Exception]] = defaultdict(list)
        self._lost: dict[str, list[Exception]] = defaultdict(list)
        self._hanging: dict[str, asyncio.Event] = {}

    def fail_next(self, verb: str, error: Exception | None = None, times: int = 1) -> None:
        """Let the next calls of `verb` fail before they do anything."""
        self._failures[verb] += [error or HypervisorFailed(f"{verb} failed on demand")] * times

    def lose_reply(self, verb: str, error: Exception | None = None) -> None:
        """Let the next call of `verb` do its work and then fail."""
        self._lost[verb].append(error or HostUnreachable(f"The reply to {verb} was lost."))

    def hang(self, verb: str) -> None:
        """Let calls of `verb` not answer, until `release` or the deadline."""
        self._hanging[verb] = asyncio.Event()

    def release(self, verb: str) -> None:
        """Let the calls of `verb` that hang go on."""
        self._hanging.pop(verb).set()

    async def _before(self, verb: str, *, connected: bool = True) -> None:
        self.calls.append(verb)
        if verb in self._hanging:
            try:
                await asyncio.wait_for(self._hanging[verb].wait(), self.deadline)
            except TimeoutError:
                raise HostUnreachable(f"{self.uri} did not answer within {self.deadline:g} s.") from None
        else:
            await asyncio.sleep(0)
        if self._failures[verb]:
            raise self._failures[verb].pop(0)
        if connected and not self.alive:
            raise HostUnreachable(f"{self.uri} does not answer: {self.reason}.")

    def _after(self, verb: str) -> None:
        if self._lost[verb]:
            raise self._lost[verb].pop(0)
