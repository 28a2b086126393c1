"""Addresses: reserving one is a row, known before the machine runs.

A network's addresses are numbered from 0; which IP and MAC address a number means is the network's to say.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, literal, select
from sqlalchemy.orm import aliased

from cernvmapi.errors import Conflict, NoRoom
from cernvmcontroller.store.lookup import one
from cernvmcontroller.store.tables import AddressRow, NetworkRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction


async def claim(tx: Transaction, network_id: str, machine_id: str, *, avoid: Collection[int] = ()) -> int:
    """Reserve the lowest free address of a network; the one that the machine has there already is returned.

    Parameters
    ----------
    avoid
        Numbers of addresses that somebody has of whom the database does not know.

    Two claims never get the same: writes are serialised, and the primary key would refuse the second.

    Raises
    ------
    NoRoom
        All are taken.
    Conflict
        The machine has an address in another network.
    """
    session = tx.session
    network = await one(session, NetworkRow, network_id, "network")
    own = (await session.scalars(select(AddressRow).where(AddressRow.machine_id == machine_id))).one_or_none()
    if own is not None and own.network_id == network_id:
        return own.index
    if own is not None:
        raise Conflict(f"The machine has an address in network {own.network_id} already: release it first.")
    index = await (_lowest_but(session, network_id, avoid) if avoid else _lowest_free(session, network_id))
    if index >= network.addresses:
        raise NoRoom(
            f"All {network.addresses} addresses of network {network.name} are taken: delete machines."
        )
    session.add(AddressRow(network_id=network_id, index=index, machine_id=machine_id))
    await session.flush()
    return index


async def _lowest_free(session: AsyncSession, network_id: str) -> int:
    """Return 0, or the lowest index that follows a taken one and is free."""
    taken, follower = aliased(AddressRow), aliased(AddressRow)
    first = select(literal(1)).where(taken.network_id == network_id, taken.index == 0)
    if await session.scalar(first) is None:
        return 0
    gap = (
        select(func.min(taken.index + 1))
        .outerjoin(follower, (follower.network_id == taken.network_id) & (follower.index == taken.index + 1))
        .where(taken.network_id == network_id, follower.index.is_(None))
    )
    return int(await session.scalar(gap) or 0)


async def _lowest_but(session: AsyncSession, network_id: str, avoid: Collection[int]) -> int:
    """Return the lowest index that is free and not one of `avoid`."""
    query = select(AddressRow.index).where(AddressRow.network_id == network_id)
    taken = {*avoid, *(await session.scalars(query))}
    return next(index for index in count() if index not in taken)


async def release(tx: Transaction, machine_id: str) -> None:
    """Give a machine's address back; without one nothing happens."""
    await tx.session.execute(delete(AddressRow).where(AddressRow.machine_id == machine_id))


async def owner_of(session: AsyncSession, network_id: str, index: int) -> str | None:
    """Return the id of the machine that has an address."""
    row = await session.get(AddressRow, (network_id, index))
    return row.machine_id if row else None
