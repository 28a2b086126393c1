"""How many there are of each kind, without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from cernvmapi.models import OperationStatus, Status
from cernvmcontroller.store.tables import MachineRow, OperationRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def machines_by_status(session: AsyncSession) -> dict[Status, int]:
    """Return how many machines have each status, those of which there is none included."""
    query = select(MachineRow.status, func.count()).group_by(MachineRow.status)
    found = dict((await session.execute(query)).all())
    return {status: found.get(status, 0) for status in Status}


async def operations_under_way(session: AsyncSession) -> dict[str, int]:
    """Return how many operations run, by what they do."""
    running = OperationRow.status == OperationStatus.RUNNING
    query = select(OperationRow.action, func.count()).where(running).group_by(OperationRow.action)
    return dict((await session.execute(query)).all())
