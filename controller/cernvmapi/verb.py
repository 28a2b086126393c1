"""How one definition of a verb serves the sync and the async client.

A verb is written once, as a method that returns the `Call` to make or, where it takes several, as a generator
that yields calls, is sent their results and returns its own. What a caller gets depends on the client: of a
`SyncGroup` the result, of an `AsyncGroup` a coroutine of it. Type checkers see the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from cernvmapi.wire import Call

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Steps = Generator[Call[Any], Any, T]
"""Several calls, one after the other."""


class Sender(Protocol):
    """Makes calls and waits for them."""

    def send(self, call: Call[T]) -> T:
        """Return the answer to a call."""


class AsyncSender(Protocol):
    """Makes calls; their answers are awaited."""

    async def send(self, call: Call[T]) -> T:
        """Return the answer to a call."""


class SyncGroup:
    """Verbs of a sync client."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sender!r}>"


class AsyncGroup:
    """Verbs of an async client."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sender!r}>"


def _run(sender: Sender, work: Call[T] | Steps[T]) -> T:
    if isinstance(work, Call):
        return sender.send(work)
    answer: Any = None
    while True:
        try:
            call = work.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answer = sender.send(call)


async def _run_async(sender: AsyncSender, work: Call[T] | Steps[T]) -> T:
    if isinstance(work, Call):
        return await sender.send(work)
    answer: Any = None
    while True:
        try:
            call = work.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answer = await sender.send(call)


class verb(Generic[P, T_co]):  # noqa: N801 - a decorator
    """Decorator: the method below it is a verb of both clients."""

    def __init__(self, method: Callable[Concatenate[Any, P], Call[T_co] | Steps[T_co]]) -> None:
        self.method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    @overload
    def __get__(self, group: None, owner: type) -> verb[P, T_co]: ...
    @overload
    def __get__(self, group: SyncGroup, owner: type) -> Callable[P, T_co]: ...
    @overload
    def __get__(self, group: AsyncGroup, owner: type) -> Callable[P, Coroutine[Any, Any, T_co]]: ...

    def __get__(self, group: SyncGroup | AsyncGroup | None, owner: type) -> Any:
        """Return the verb, bound to a client."""
        if group is None:
            return self
        method = self.method
        if isinstance(group, SyncGroup):

            @functools.wraps(method)
            def call(*args: P.args, **kwargs: P.kwargs) -> T_co:
                return _run(group._sender, method(group, *args, **kwargs))  # noqa: SLF001

            return call

        @functools.wraps(method)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> T_co:
            return await _run_async(group._sender, method(group, *args, **kwargs))  # noqa: SLF001

        return call_async
