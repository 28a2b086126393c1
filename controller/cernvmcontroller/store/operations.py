"""Operations: what was asked for and takes its time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from cernvmapi.models import Operation, OperationStatus, Problem
from cernvmcontroller.store.lookup import model, one
from cernvmcontroller.store.paging import Order, Slice
from cernvmcontroller.store.paging import page as page_of
from cernvmcontroller.store.tables import OperationRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction

_REQUEST = "request_id"
"""Key in `OperationRow.details`."""
_NEWEST_FIRST = Order("-created", OperationRow.created, OperationRow.id, datetime, descending=True)


@dataclass(frozen=True)
class OperationQuery:
    """Which operations; None or empty for any. The newest come first."""

    owner: str | None = None
    statuses: Collection[OperationStatus] = ()
    subject: str | None = None
    limit: int = 100
    cursor: str | None = None


async def get(session: AsyncSession, id_: str) -> OperationRow:
    """Return an operation; `NotFound` when there is none."""
    return await one(session, OperationRow, id_, "operation")


async def running(session: AsyncSession, subject: str | None = None) -> Sequence[OperationRow]:
    """Return the operations that did not end, the oldest first.

    When a controller starts, these are the ones that its predecessor left.
    """
    query = select(OperationRow).where(OperationRow.status == OperationStatus.RUNNING)
    if subject is not None:
        query = query.where(OperationRow.subject == subject)
    return (await session.scalars(query.order_by(OperationRow.created, OperationRow.id))).all()


async def page(session: AsyncSession, wanted: OperationQuery) -> Slice[OperationRow]:
    """Return one page of operations."""
    query = select(OperationRow)
    if wanted.owner is not None:
        query = query.where(OperationRow.owner == wanted.owner)
    if wanted.statuses:
        query = query.where(OperationRow.status.in_(sorted(wanted.statuses)))
    if wanted.subject is not None:
        query = query.where(OperationRow.subject == wanted.subject)
    return await page_of(session, query, _NEWEST_FIRST, limit=wanted.limit, cursor=wanted.cursor)


async def create(
    tx: Transaction,
    id_: str,
    action: str,
    subject: str,
    *,
    owner: str | None = None,
    cancellable: bool = False,
    message: str = "",
    details: dict[str, Any] | None = None,
) -> OperationRow:
    """Begin an operation, and tell it.

    Parameters
    ----------
    tx
        The write that makes it necessary; its actor is the operation's.
    id_
        A new id.
    action
        ``machine.start``, …
    subject
        ``machine/<id>``, …
    owner
        Whose subject it is.
    cancellable
        Whether it can be cancelled now.
    message
        What is done now, for the person who waits.
    details
        What a restarted controller needs to go on; no secrets.
    """
    row = OperationRow(
        id=id_,
        action=action,
        subject=subject,
        actor=tx.actor.name,
        owner=owner,
        status=OperationStatus.RUNNING,
        cancellable=cancellable,
        message=message,
        details={**(details or {}), **({_REQUEST: tx.actor.request_id} if tx.actor.request_id else {})},
    )
    tx.session.add(row)
    await _tell(tx, row)
    return row


async def progress(
    tx: Transaction,
    operation: OperationRow | str,
    percent: int,
    message: str | None = None,
    *,
    cancellable: bool | None = None,
) -> OperationRow:
    """Say how far an operation is, and tell it; one that ended stays as it ended."""
    row = await _own(tx, operation)
    if row.status is OperationStatus.RUNNING:
        row.progress = percent
        row.message = row.message if message is None else message
        row.cancellable = row.cancellable if cancellable is None else cancellable
        await _tell(tx, row)
    return row


async def finish(
    tx: Transaction,
    operation: OperationRow | str,
    status: OperationStatus,
    *,
    message: str | None = None,
    error: Problem | None = None,
) -> OperationRow:
    """End an operation, and tell it; the first end counts."""
    row = await _own(tx, operation)
    if row.status is OperationStatus.RUNNING:
        row.status, row.error, row.finished = status, error, datetime.now(UTC)
        row.message = row.message if message is None else message
        row.cancellable = False
        if status is OperationStatus.SUCCEEDED:
            row.progress = 100
        await _tell(tx, row)
    return row


async def prune(session: AsyncSession, *, days: float) -> None:
    """Throw away the operations that ended longer ago than that."""
    before = datetime.now(UTC) - timedelta(days=days)
    await session.execute(delete(OperationRow).where(OperationRow.finished < before))


async def _own(tx: Transaction, operation: OperationRow | str) -> OperationRow:
    """Return the row as this transaction sees it: the given one may be of an earlier transaction."""
    return await get(tx.session, operation if isinstance(operation, str) else operation.id)


async def _tell(tx: Transaction, row: OperationRow) -> None:
    await tx.session.flush()
    tx.emit("operation.changed", f"operation/{row.id}", row.owner, to_model(row))


def to_model(row: OperationRow) -> Operation:
    """Return the operation as it goes over the wire."""
    return model(row, Operation, request_id=request_id(row))


def request_id(row: OperationRow) -> str | None:
    """Return the id of the request that began an operation."""
    return row.details.get(_REQUEST)
