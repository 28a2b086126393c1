"""Addresses: reserving one is a row, known before the machine runs.

A network's addresses are numbered from 0; which IP and MAC address a number means is the network's to say.

They go round: a machine's certificate is for its address, and whoever had the machine may have kept the key.
So an address that had no machine yet comes first, and then the one that is free for the longest time.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, union_all

from cernvmapi.errors import Conflict, NoRoom
from cernvmcontroller.store.lookup import one
from cernvmcontroller.store.tables import AddressRow, NetworkRow, ReleasedAddressRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import CompoundSelect
    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction


async def claim(tx: Transaction, network_id: str, machine_id: str, *, avoid: Collection[int] = ()) -> int:
    """Reserve an address of a network; the one that the machine has there already is returned.

    It is the lowest that no machine had yet, or else the one that is free for the longest time.

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
    index: int | None = await (
        _first_but(session, network_id, avoid) if avoid else _first(session, network_id)
    )
    if index is None or index >= network.addresses:
        index = await _longest_free(session, network, avoid)
    if index is None:
        raise NoRoom(
            f"All {network.addresses} addresses of network {network.name} are taken: delete machines."
        )
    await reserve(tx, network_id, index, machine_id)
    return index


async def reserve(tx: Transaction, network_id: str, index: int, machine_id: str) -> None:
    """Reserve this address, which nobody has, for a machine, which has none."""
    here = (ReleasedAddressRow.network_id == network_id, ReleasedAddressRow.index == index)
    await tx.session.execute(delete(ReleasedAddressRow).where(*here))
    tx.session.add(AddressRow(network_id=network_id, index=index, machine_id=machine_id))
    await tx.session.flush()


async def _first(session: AsyncSession, network_id: str) -> int:
    """Return 0, or the lowest index that follows one which was given and was never given itself."""
    given, follower = _given(network_id).subquery(), _given(network_id).subquery()
    if await session.scalar(select(given.c.index).where(given.c.index == 0)) is None:
        return 0
    gap = (
        select(func.min(given.c.index + 1))
        .outerjoin(follower, follower.c.index == given.c.index + 1)
        .where(follower.c.index.is_(None))
    )
    return int(await session.scalar(gap) or 0)


async def _first_but(session: AsyncSession, network_id: str, avoid: Collection[int]) -> int:
    """Return the lowest index that was never given and is not one of `avoid`."""
    given = {*avoid, *(await session.scalars(_given(network_id)))}
    return next(index for index in count() if index not in given)


def _given(network_id: str) -> CompoundSelect[tuple[int]]:
    """Return the question which indexes a machine has or had."""
    return union_all(
        select(AddressRow.index).where(AddressRow.network_id == network_id),
        select(ReleasedAddressRow.index).where(ReleasedAddressRow.network_id == network_id),
    )


async def _longest_free(session: AsyncSession, network: NetworkRow, avoid: Collection[int]) -> int | None:
    """Return the index that came back first, `avoid` left out; None where none came back."""
    query = (
        select(ReleasedAddressRow.index)
        .where(ReleasedAddressRow.network_id == network.id, ReleasedAddressRow.index < network.addresses)
        .order_by(ReleasedAddressRow.turn)
    )
    if not avoid:
        return await session.scalar(query.limit(1))
    return next((index for index in await session.scalars(query) if index not in avoid), None)


async def release(tx: Transaction, machine_id: str) -> None:
    """Give a machine's address back, as the last of those that are free; without one nothing happens."""
    session = tx.session
    row = (await session.scalars(select(AddressRow).where(AddressRow.machine_id == machine_id))).one_or_none()
    if row is None:
        return
    here = ReleasedAddressRow.network_id == row.network_id
    last = await session.scalar(select(func.max(ReleasedAddressRow.turn)).where(here))
    await session.delete(row)
    session.add(ReleasedAddressRow(network_id=row.network_id, index=row.index, turn=(last or 0) + 1))
    await session.flush()


async def owner_of(session: AsyncSession, network_id: str, index: int) -> str | None:
    """Return the id of the machine that has an address."""
    row = await session.get(AddressRow, (network_id, index))
    return row.machine_id if row else None
