"""The events' table."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, or_, select

from cernvmapi.models import Event
from cernvmcontroller.events import Batch, Filter
from cernvmcontroller.store.tables import EventRow, MetaRow

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.database import Database

_PRUNED = "events.pruned"


def to_model(row: EventRow) -> Event:
    """Return the event as it goes over the wire."""
    return Event(id=row.id, type=row.type, subject=row.subject, owner=row.owner, at=row.at, data=row.data)


async def begin(session: AsyncSession, database: Database) -> None:
    """Let the ids of a new database begin now; `cernvmcontroller.events` says why.

    Whatever has a lower id is of another database, and as good as thrown away.
    """
    now = time.time_ns() // 1000
    await database.count_from(await session.connection(), EventRow.__tablename__, now)
    session.add(MetaRow(key=_PRUNED, value=str(now)))


async def last_id(session: AsyncSession) -> int:
    """Return the newest event's id, before the first where ids begin; pruning never takes the newest."""
    return await session.scalar(select(func.max(EventRow.id))) or await pruned(session)


async def pruned(session: AsyncSession) -> int:
    """Return the highest id that was thrown away; before anything was, where ids begin."""
    row = await session.get(MetaRow, _PRUNED)
    return int(row.value) if row else 0


async def prune(session: AsyncSession, *, keep: int, days: float) -> int:
    """Throw away the events that are too many or too old, but never the newest.

    Returns
    -------
    int
        How many went.
    """
    newest = await last_id(session)
    old = select(func.max(EventRow.id)).where(EventRow.at < datetime.now(UTC) - timedelta(days=days))
    upto = min(max(await session.scalar(old) or 0, newest - keep), newest - 1)
    if upto <= await pruned(session):
        return 0
    await session.merge(MetaRow(key=_PRUNED, value=str(upto)))
    result = await session.execute(delete(EventRow).where(EventRow.id <= upto))
    return int(result.rowcount)  # type: ignore[attr-defined]


class Journal:
    """The events' table, as `cernvmcontroller.events.EventLog` reads it.

    Parameters
    ----------
    read
        `Store.read`.
    """

    def __init__(self, read: Callable[[], AbstractAsyncContextManager[AsyncSession]]) -> None:
        self._read = read

    async def since(self, after: int, upto: int, chosen: Filter, limit: int) -> Batch:
        """Return the first `limit` of the chosen events with ``after < id <= upto``, in their order."""
        query = select(EventRow).where(EventRow.id > after, EventRow.id <= upto)
        if chosen.types is not None:
            query = query.where(EventRow.type.in_(sorted(chosen.types)))
        if chosen.owner is not None:
            query = query.where(or_(EventRow.owner == chosen.owner, EventRow.type.in_(sorted(chosen.public))))
        async with self._read() as session:
            rows = await session.scalars(query.order_by(EventRow.id).limit(limit))
            return Batch([to_model(row) for row in rows], await pruned(session))
