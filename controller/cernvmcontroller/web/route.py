"""A route: one verb on one path, who may use it, what goes in and what comes out.

The table of routes (`cernvmcontroller.web.routes`) drives both the dispatch and the OpenAPI document, so
neither can say what the other does not do.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from cernvmapi.models import Page

if TYPE_CHECKING:
    from cernvmcontroller.store import Actor
    from cernvmcontroller.web.engine import Engine
    from cernvmcontroller.web.identity import Access, Identity

T = TypeVar("T")

ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""What can be an id in a path; nothing else reaches the engine."""


def as_pattern(path: str) -> str:
    """Return a path as a regular expression; an id that cannot be one is a path that does not exist."""
    return "".join(
        f"(?P<id>{ID})" if part == "{id}" else re.escape(part) for part in re.split(r"(\{id\})", path)
    )


@dataclass(frozen=True)
class Exchange:
    """A request that passed all checks.

    Parameters
    ----------
    identity
        Who asks; None on public routes only.
    actor
        The same, as the audit record wants it.
    query, body
        What the route's types made of them.
    """

    engine: Engine
    identity: Identity | None
    actor: Actor
    id: str
    query: Any
    body: Any
    headers: Any
    recheck: Callable[[], Awaitable[bool]]
    """Ask again whether who asks still may; for answers that take long."""
    services: Any
    """The application's `cernvmcontroller.web.services.Services`."""

    @property
    def who(self) -> Identity:
        """Who asks, where somebody must."""
        assert self.identity is not None
        return self.identity

    @property
    def only_owner(self) -> str | None:
        """The owner whose things the caller may see; None: everybody's."""
        return self.who.only_owner

    async def only_page(self, items: Awaitable[list[T]]) -> Page[T]:
        """Return a short list as its only page; the event id is taken first, so that nothing is missed."""
        event_id = self.engine.events.last_id()
        listed = await items
        return Page(items=listed, total=len(listed), event_id=event_id)


@dataclass(frozen=True)
class Reply:
    """An answer.

    Parameters
    ----------
    body
        A model, or bytes that are ready to be sent.
    status
        None: the route's first.
    """

    body: Any
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """An answer without an end."""

    chunks: AsyncIterator[bytes]
    headers: dict[str, str]


Endpoint = Callable[[Exchange], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """One verb on one path.

    Parameters
    ----------
    path
        Below the API's prefix, with ``{id}`` where an id stands.
    query, body
        msgspec types; None where there is none.
    body_required
        Whether an empty body is a mistake.
    result
        Type of the answer; None: no body; a string: the answer's media type, for what is not JSON.
    statuses
        What success can be.
    asks_host
        Whether a GET does more than read what is known: it asks the machine's host.
    """

    method: str
    path: str
    access: Access
    endpoint: Endpoint
    summary: str
    result: Any
    tag: str
    query: Any = None
    body: Any = None
    body_required: bool = False
    statuses: tuple[int, ...] = (200,)
    asks_host: bool = False

    @property
    def name(self) -> str:
        """A stable name, for the document and the metrics."""
        return self.endpoint.__name__

    @property
    def needs_machines(self) -> bool:
        """Whether it says, or takes for granted, which machines there are."""
        return self.tag not in {"site", "catalogue", "controller"}

    @property
    def pattern(self) -> str:
        """The path as a regular expression."""
        return as_pattern(self.path)
