"""Steps that verbs have in common: paths, one page after the other, an operation's end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cernvmapi.errors import CernVMError, Conflict, error_from
from cernvmapi.models import Operation, OperationStatus, Page
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Generator

    from cernvmapi.verb import Steps

LONGEST_WAIT = 30.0
"""Seconds that the controller holds one request for an operation's end."""
LARGEST_PAGE = 1000


def path(*parts: str) -> str:
    """Return the path that these parts make, each escaped."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def pages(path: str, item: Any, query: dict[str, str]) -> Generator[Call[Any], Any, list[Any]]:
    """Ask for one page after the other."""
    items: list[Any] = []
    while True:
        page = yield Call("GET", path, Page[item], query)
        items += page.items
        if page.next is None:
            return items
        query = {**query, "cursor": page.next}


def finished(operation_id: str, timeout: float | None) -> Steps[Operation]:
    """Ask until the operation is finished or `timeout` seconds have passed."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LONGEST_WAIT if deadline is None else min(LONGEST_WAIT, deadline - time.monotonic())
        query = params(wait=round(max(left, 0.0), 3))
        operation = yield Call("GET", path("operations", operation_id), Operation, query)
        if operation.status is not OperationStatus.RUNNING:
            return operation  # type: ignore[no-any-return]
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(
                f"{operation.action} of {operation.subject} is not finished: {operation.message}"
            )


def succeeded(operation: Operation, wait: bool, timeout: float | None) -> Steps[Operation]:
    """Wait, if asked to, and raise the operation's own error if it fails."""
    if not wait:
        return operation
    operation = yield from finished(operation.id, timeout)
    if operation.status is OperationStatus.CANCELLED:
        raise Conflict(f"{operation.action} of {operation.subject} was cancelled.")
    if operation.status is OperationStatus.FAILED:
        raise error_from(operation.error) if operation.error else CernVMError(operation.message)
    return operation
