"""Machines: look up, list, change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from cernvmapi.clusters import DEFAULT_CLUSTER
from cernvmapi.errors import Malformed
from cernvmapi.models import Machine, Status, Target
from cernvmcontroller.store import addresses, clusters
from cernvmcontroller.store.lookup import attached, model, one
from cernvmcontroller.store.paging import Order, Slice
from cernvmcontroller.store.paging import page as page_of
from cernvmcontroller.store.tables import MachineRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction

_KEYS = {
    "name": (MachineRow.name_key, str),
    "created": (MachineRow.created, datetime),
    "status": (MachineRow.status, str),
    "owner": (MachineRow.owner_key, str),
    "host": (MachineRow.host_key, str),
}

SORT_KEYS = tuple(_KEYS)
"""What a list can be sorted by; with ``-`` before it, descending. Case does not matter."""


@dataclass(frozen=True)
class MachineQuery:
    """Which machines, in which order.

    Parameters
    ----------
    owner, host, appliance
        Exactly this one; None for any.
    cluster
        In this one, by id; None for any.
    statuses
        One of these; empty for any.
    search
        Each of its words is part of name, owner, address, id or host, in whatever case.
    sort
        One of `SORT_KEYS`.
    limit
        Rows a page.
    cursor
        From the page before.
    """

    owner: str | None = None
    statuses: Collection[Status] = ()
    host: str | None = None
    cluster: str | None = None
    appliance: str | None = None
    search: str | None = None
    sort: str = "-created"
    limit: int = 100
    cursor: str | None = None


async def get(session: AsyncSession, id_: str) -> MachineRow:
    """Return a machine; `NotFound` when there is none."""
    return await one(session, MachineRow, id_, "machine")


async def find_server(session: AsyncSession, owner: str, server_name: str) -> MachineRow | None:
    """Return the machine that serves a hub server; one on its way out does not."""
    query = select(MachineRow).where(
        MachineRow.owner == owner,
        MachineRow.server_name == server_name,
        MachineRow.notebook,
        MachineRow.target != Target.DELETED,
    )
    return (await session.scalars(query)).one_or_none()


async def all_ids(session: AsyncSession) -> Sequence[str]:
    """Return the ids of all machines, the oldest first: what a reconciler begins with."""
    return (await session.scalars(select(MachineRow.id).order_by(MachineRow.created, MachineRow.id))).all()


async def unplaced(session: AsyncSession) -> Sequence[str]:
    """Return the ids of the machines that are on no host, the oldest first."""
    query = select(MachineRow.id).where(MachineRow.host.is_(None))
    return (await session.scalars(query.order_by(MachineRow.created, MachineRow.id))).all()


async def on_host(session: AsyncSession, host: str) -> Sequence[MachineRow]:
    """Return the machines that are placed on a host."""
    query = select(MachineRow).where(MachineRow.host == host)
    return (await session.scalars(query.order_by(MachineRow.id))).all()


async def concerned(session: AsyncSession, host: str) -> Sequence[MachineRow]:
    """Return the machines of which something is on a host: placed there, on the way there, or left there."""
    query = select(MachineRow).where(
        (MachineRow.host == host) | (MachineRow.moving_to == host) | (MachineRow.moved_from == host)
    )
    return (await session.scalars(query.order_by(MachineRow.id))).all()


async def counts(session: AsyncSession) -> dict[Status, int]:
    """Return how many machines there are of each status that there is."""
    query = select(MachineRow.status, func.count()).group_by(MachineRow.status)
    return dict((await session.execute(query)).all())


async def page(session: AsyncSession, wanted: MachineQuery) -> Slice[MachineRow]:
    """Return one page of machines; `Malformed` for a sort key or cursor that there is not."""
    query = select(MachineRow)
    for column, value in (
        (MachineRow.owner, wanted.owner),
        (MachineRow.host, wanted.host),
        (MachineRow.appliance, wanted.appliance),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.cluster not in {None, DEFAULT_CLUSTER}:
        query = query.where(clusters.has_machine(wanted.cluster or ""))
    if wanted.statuses:
        query = query.where(MachineRow.status.in_(sorted(wanted.statuses)))
    # PostgreSQL has no NUL in texts: nothing stored contains one.
    for word in (wanted.search or "").replace("\0", " ").casefold().split():
        query = query.where(MachineRow.search_text.contains(word, autoescape=True))
    return await page_of(session, query, _order(wanted.sort), limit=wanted.limit, cursor=wanted.cursor)


def _order(sort: str) -> Order:
    key = sort.removeprefix("-")
    if key not in _KEYS:
        raise Malformed(f"Machines are not sorted by {key!r}, but by one of: {', '.join(SORT_KEYS)}.")
    column, kind = _KEYS[key]
    return Order(sort, column, MachineRow.id, kind, descending=sort.startswith("-"))


async def add(tx: Transaction, row: MachineRow, actions: Sequence[str] = ()) -> Machine:
    """Insert a machine, and tell it."""
    tx.session.add(row)
    return await changed(tx, row, actions)


async def changed(tx: Transaction, row: MachineRow, actions: Sequence[str] = ()) -> Machine:
    """Write the changes of a machine's attributes, and tell them.

    Parameters
    ----------
    tx
        The write.
    row
        With its new values.
    actions
        What is valid for the machine now.
    """
    attached(tx.session, row)
    row.revision = (row.revision or 0) + 1
    row.changed = datetime.now(UTC)
    await tx.session.flush()
    machine = to_model(row, actions)
    tx.emit("machine.changed", f"machine/{row.id}", row.owner, machine)
    return machine


async def remove(tx: Transaction, row: MachineRow) -> None:
    """Delete a machine, give its address back, detach its volumes, and tell it."""
    machine = to_model(row)
    await addresses.release(tx, row.id)
    await tx.session.delete(row)
    await tx.session.flush()
    tx.emit("machine.deleted", f"machine/{row.id}", row.owner, machine)


def to_model(row: MachineRow, actions: Sequence[str] = ()) -> Machine:
    """Return the machine as it goes over the wire."""
    return model(row, Machine, actions=list(actions))
