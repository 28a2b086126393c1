"""Appliances of the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from cernvmapi.models import Appliance
from cernvmcontroller.store.lookup import model, one
from cernvmcontroller.store.tables import ApplianceRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction


async def get(session: AsyncSession, id_: str) -> ApplianceRow:
    """Return an appliance; `NotFound` when there is none."""
    return await one(session, ApplianceRow, id_, "appliance")


async def listed(session: AsyncSession, *, hidden: bool = False) -> Sequence[ApplianceRow]:
    """Return the appliances by title, the hidden ones only when asked."""
    query = select(ApplianceRow).order_by(ApplianceRow.title, ApplianceRow.id)
    if not hidden:
        query = query.where(ApplianceRow.hidden.is_(False))
    return (await session.scalars(query)).all()


async def default(session: AsyncSession) -> ApplianceRow | None:
    """Return the appliance for who did not choose: the marked one, else the newest."""
    query = select(ApplianceRow).where(ApplianceRow.hidden.is_(False))
    order = (ApplianceRow.default.desc(), ApplianceRow.updated.desc(), ApplianceRow.id)
    return (await session.scalars(query.order_by(*order).limit(1))).first()


async def put(tx: Transaction, appliance: Appliance, path: str) -> ApplianceRow:
    """Insert an appliance or replace it; tell it when something changed.

    Parameters
    ----------
    tx
        The write.
    appliance
        As it goes over the wire.
    path
        Of the image file.
    """
    given = ApplianceRow(path=path, **msgspec.structs.asdict(appliance))
    row = await tx.session.merge(given)
    if tx.session.is_modified(row) or row in tx.session.new:
        await tx.session.flush()
        tx.emit("appliance.changed", f"appliance/{row.id}", None, to_model(row))
    return row


async def remove(tx: Transaction, id_: str) -> None:
    """Delete an appliance, and tell it; without one nothing happens."""
    row = await tx.session.get(ApplianceRow, id_)
    if row is not None:
        appliance = to_model(row)
        await tx.session.delete(row)
        await tx.session.flush()
        tx.emit("appliance.deleted", f"appliance/{id_}", None, appliance)


def to_model(row: ApplianceRow) -> Appliance:
    """Return the appliance as it goes over the wire."""
    return model(row, Appliance)
