"""The id of what is being asked for: one for all the requests that a start, say, takes.

A client sends it with each request, and the controller's log and audit record, the operation that begins and
the agent in the machine name it: what one press of a button caused is found by one word.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "X-Request-ID"

_CURRENT: ContextVar[str] = ContextVar("cernvmapi_request_id", default="")


def current() -> str:
    """Return the id of what is being asked for; empty outside of `one_request`."""
    return _CURRENT.get()


@contextmanager
def one_request(request_id: str = "") -> Iterator[str]:
    """Give all requests within the block one id, those of tasks that are begun in it too.

    Parameters
    ----------
    request_id
        Letters, digits, dots, dashes and underscores, at most 64. Default: a new one.

    Yields
    ------
    str
        The id.
    """
    token = _CURRENT.set(request_id or uuid4().hex)
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


def headers() -> dict[str, str]:
    """Return what a request says of it; nothing outside of `one_request`."""
    return {HEADER: current()} if current() else {}
