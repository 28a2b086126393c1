"""Who writes, and what a write may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec

from cernvmcontroller.store.tables import EventRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True)
class Actor:
    """Who acts, as the audit record says it.

    Parameters
    ----------
    name
        Of the hub's user or service.
    address
        Where the request came from.
    request_id
        To be found in the controller's log.
    """

    name: str
    address: str | None = None
    request_id: str | None = None

    @classmethod
    def system(cls) -> Self:
        """Return the controller itself, which acts when nobody asked."""
        return cls("controller")


@dataclass(eq=False)
class Transaction:
    """A write in progress: all of it happens, with its events and its audit record, or nothing.

    Parameters
    ----------
    session
        The database session; it is flushed and committed by `Store.write`, never by its user.
    actor
        Who writes.
    """

    session: AsyncSession
    actor: Actor
    events: list[EventRow] = field(default_factory=list)
    """Emitted so far, in their order."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else the audit record shall say; no secrets."""

    def emit(
        self,
        type_: str,
        subject: str,
        owner: str | None = None,
        data: msgspec.Struct | dict[str, Any] | None = None,
    ) -> None:
        """Tell subscribers, once the transaction is committed.

        Parameters
        ----------
        type_
            ``machine.changed``, …: see `cernvmapi.models.Event`.
        subject
            ``machine/<id>``, …
        owner
            Whose object it is.
        data
            The object as it is now; it is copied at once.
        """
        row = EventRow(type=type_, subject=subject, owner=owner, data=msgspec.to_builtins(data or {}))
        self.events.append(row)
