"""Starts that ended, kept longer than their operations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from cernvmcontroller.store.tables import MachineRow, OperationRow
from cernvmcontroller.store.usagetables import StartRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

_START = "machine.start"
_LONGEST = timedelta(days=1)
"""An operation that began longer ago is not looked for."""
_AT_ONCE = 1000


async def ended(session: AsyncSession, now: datetime) -> list[StartRow]:
    """Return the starts that ended and are not kept yet."""
    machine = OperationRow.subject == "machine/" + MachineRow.id
    query = (
        select(OperationRow, MachineRow.appliance)
        .outerjoin(MachineRow, machine)
        .where(
            OperationRow.created >= now - _LONGEST,
            OperationRow.finished.is_not(None),
            OperationRow.action == _START,
            OperationRow.id.not_in(select(StartRow.id).where(StartRow.created >= now - _LONGEST)),
        )
    )
    return [
        StartRow(
            id=operation.id,
            owner=operation.owner or "",
            actor=operation.actor,
            appliance=appliance or "",
            outcome=operation.status,
            created=operation.created,
            waited_ms=(operation.finished - operation.created) // timedelta(milliseconds=1),
        )
        for operation, appliance in await session.execute(query)
        if operation.finished is not None
    ]


async def of(
    session: AsyncSession, begin: datetime, end: datetime, owner: str | None
) -> AsyncIterator[Sequence[Any]]:
    """Yield owner, appliance, outcome and milliseconds of the starts of a time, some at a time."""
    query = select(StartRow.owner, StartRow.appliance, StartRow.outcome, StartRow.waited_ms).where(
        StartRow.created >= begin, StartRow.created < end
    )
    if owner is not None:
        query = query.where(StartRow.owner == owner)
    async for rows in (await session.stream(query)).partitions(_AT_ONCE):
        yield rows


async def prune(session: AsyncSession, before: datetime) -> None:
    """Throw away the starts that were asked for before."""
    await session.execute(delete(StartRow).where(StartRow.created < before))
