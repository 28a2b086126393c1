"""What the work at hand is for: the ids that every line of log about it has, and that the agent is told.

They are structlog's context variables, so tasks and threads that are begun for the work inherit them.
"""

from __future__ import annotations

import structlog

IDS = ("request_id", "machine", "operation")


def begin(**ids: str | None) -> None:
    """Begin work that is for these ids and no others, whoever asked for it to be done now."""
    structlog.contextvars.clear_contextvars()
    add(**ids)


def add(**ids: str | None) -> None:
    """Say more of what the work is for; None says nothing."""
    structlog.contextvars.bind_contextvars(**{name: value for name, value in ids.items() if value})


def ids() -> dict[str, str]:
    """Return what the work is for."""
    known = structlog.contextvars.get_contextvars()
    return {name: str(known[name]) for name in IDS if name in known}
