"""Feeds: look up, list, change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmapi.models import Feed
from cernvmcontroller.store.lookup import attached, model, one
from cernvmcontroller.store.tables import FeedRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction


async def get(session: AsyncSession, id_: str) -> FeedRow:
    """Return a feed; `NotFound` when there is none."""
    return await one(session, FeedRow, id_, "feed")


async def find(session: AsyncSession, id_: str) -> FeedRow | None:
    """Return a feed, if there is such a one."""
    return await session.get(FeedRow, id_)


async def listed(session: AsyncSession) -> Sequence[FeedRow]:
    """Return all feeds by title."""
    return (await session.scalars(select(FeedRow).order_by(FeedRow.title, FeedRow.id))).all()


async def due(session: AsyncSession, now: datetime) -> Sequence[str]:
    """Return the ids of the feeds that shall be read now, those that wait longest first."""
    query = select(FeedRow.id).where(FeedRow.enabled, FeedRow.next_check <= now)
    return (await session.scalars(query.order_by(FeedRow.next_check, FeedRow.id))).all()


async def add(tx: Transaction, row: FeedRow) -> Feed:
    """Insert a feed, and tell it."""
    tx.session.add(row)
    return await changed(tx, row)


async def changed(tx: Transaction, row: FeedRow) -> Feed:
    """Write the changes of a feed's attributes, and tell them."""
    attached(tx.session, row)
    await tx.session.flush()
    feed = to_model(row)
    tx.emit("feed.changed", f"feed/{row.id}", None, feed)
    return feed


async def remove(tx: Transaction, row: FeedRow) -> None:
    """Delete a feed with its entries, and tell it."""
    feed = to_model(row)
    await tx.session.delete(row)
    await tx.session.flush()
    tx.emit("feed.deleted", f"feed/{row.id}", None, feed)


def to_model(row: FeedRow) -> Feed:
    """Return the feed as it goes over the wire."""
    return model(row, Feed, signed=row.authority is not None)
