"""Volumes that the hub made in pools; a home volume is attached to one machine at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmapi.errors import Conflict
from cernvmapi.models import Volume, VolumeKind
from cernvmcontroller.store.lookup import attached, model, one
from cernvmcontroller.store.paging import Order, Slice
from cernvmcontroller.store.paging import page as page_of
from cernvmcontroller.store.tables import VolumeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction

_NEWEST_FIRST = Order("-created", VolumeRow.created, VolumeRow.id, datetime, descending=True)


@dataclass(frozen=True)
class VolumeQuery:
    """Which volumes; None for any. The newest come first."""

    owner: str | None = None
    kind: VolumeKind | None = None
    pool: str | None = None
    machine: str | None = None
    limit: int = 100
    cursor: str | None = None


async def get(session: AsyncSession, id_: str) -> VolumeRow:
    """Return a volume; `NotFound` when there is none."""
    return await one(session, VolumeRow, id_, "volume")


async def by_name(session: AsyncSession, pool: str, name: str) -> VolumeRow | None:
    """Return the volume with this name in libvirt."""
    query = select(VolumeRow).where(VolumeRow.pool == pool, VolumeRow.name == name)
    return (await session.scalars(query)).one_or_none()


async def home(session: AsyncSession, owner: str, server_name: str) -> VolumeRow | None:
    """Return the home volume of a hub server."""
    query = select(VolumeRow).where(
        VolumeRow.kind == VolumeKind.HOME, VolumeRow.owner == owner, VolumeRow.server_name == server_name
    )
    return (await session.scalars(query)).one_or_none()


async def of_machine(session: AsyncSession, machine_id: str) -> Sequence[VolumeRow]:
    """Return the volumes that are attached to a machine."""
    query = select(VolumeRow).where(VolumeRow.machine == machine_id)
    return (await session.scalars(query.order_by(VolumeRow.id))).all()


async def going(session: AsyncSession, pool: str) -> Sequence[VolumeRow]:
    """Return the volumes of a pool whose deletion was begun."""
    query = select(VolumeRow).where(VolumeRow.pool == pool, VolumeRow.going.is_(True))
    return (await session.scalars(query.order_by(VolumeRow.id))).all()


async def page(session: AsyncSession, wanted: VolumeQuery) -> Slice[VolumeRow]:
    """Return one page of volumes."""
    query = select(VolumeRow)
    for column, value in (
        (VolumeRow.owner, wanted.owner),
        (VolumeRow.kind, wanted.kind),
        (VolumeRow.pool, wanted.pool),
        (VolumeRow.machine, wanted.machine),
    ):
        if value is not None:
            query = query.where(column == value)
    return await page_of(session, query, _NEWEST_FIRST, limit=wanted.limit, cursor=wanted.cursor)


async def add(tx: Transaction, row: VolumeRow) -> Volume:
    """Insert a volume, and tell it."""
    tx.session.add(row)
    return await changed(tx, row)


async def changed(tx: Transaction, row: VolumeRow) -> Volume:
    """Write the changes of a volume's attributes, and tell them."""
    attached(tx.session, row)
    await tx.session.flush()
    volume = to_model(row)
    tx.emit("volume.changed", f"volume/{row.id}", row.owner, volume)
    return volume


async def attach(tx: Transaction, row: VolumeRow, machine_id: str) -> Volume:
    """Give a volume to a machine.

    Raises
    ------
    Conflict
        Another machine has it: two machines that write one disk destroy it.
    """
    if row.machine == machine_id:
        return to_model(row)
    if row.machine is not None:
        raise Conflict(f"Volume {row.id} is attached to machine {row.machine}: stop that one first.")
    row.machine = machine_id
    return await changed(tx, row)


async def detach(tx: Transaction, row: VolumeRow) -> Volume:
    """Take a volume from its machine."""
    row.machine = None
    return await changed(tx, row)


async def remove(tx: Transaction, row: VolumeRow) -> None:
    """Delete a volume's row, and tell it."""
    volume = to_model(row)
    await tx.session.delete(row)
    await tx.session.flush()
    tx.emit("volume.deleted", f"volume/{row.id}", row.owner, volume)


def to_model(row: VolumeRow) -> Volume:
    """Return the volume as it goes over the wire."""
    return model(row, Volume)
