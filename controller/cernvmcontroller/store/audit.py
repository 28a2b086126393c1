"""The audit record, read; it is written by `Store.write`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmapi.models import AuditRecord
from cernvmcontroller.store.lookup import model
from cernvmcontroller.store.paging import Order, Slice
from cernvmcontroller.store.paging import page as page_of
from cernvmcontroller.store.tables import AuditRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_NEWEST_FIRST = Order("-id", AuditRow.id, AuditRow.id, int, descending=True)


@dataclass(frozen=True)
class AuditQuery:
    """Which records; None for any. The newest come first."""

    actor: str | None = None
    subject: str | None = None
    action: str | None = None
    limit: int = 100
    cursor: str | None = None


async def page(session: AsyncSession, wanted: AuditQuery) -> Slice[AuditRow]:
    """Return one page of records."""
    query = select(AuditRow)
    for column, value in (
        (AuditRow.actor, wanted.actor),
        (AuditRow.subject, wanted.subject),
        (AuditRow.action, wanted.action),
    ):
        if value is not None:
            query = query.where(column == value)
    return await page_of(session, query, _NEWEST_FIRST, limit=wanted.limit, cursor=wanted.cursor)


def to_model(row: AuditRow) -> AuditRecord:
    """Return the record as it goes over the wire."""
    return model(row, AuditRecord)
