"""Clusters: which hosts and machines are in them. The default one has all, and no rows that say so."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from cernvmapi.clusters import DEFAULT_CLUSTER, Cluster, ClusterMembers
from cernvmapi.errors import NotFound
from cernvmcontroller.store.lookup import model, one
from cernvmcontroller.store.tables import (
    ClusterHostRow,
    ClusterMachineRow,
    ClusterRow,
    HostRow,
    MachineRow,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction


async def get(session: AsyncSession, id_: str) -> ClusterRow:
    """Return a cluster; `NotFound` when there is none."""
    return await one(session, ClusterRow, id_, "cluster")


async def models(
    session: AsyncSession, *, host: str | None = None, machine: str | None = None
) -> list[Cluster]:
    """Return the clusters by name, the default one first; on request those that a host or machine is in."""
    query = select(ClusterRow).order_by(ClusterRow.id != DEFAULT_CLUSTER, ClusterRow.name)
    for wanted, of in ((host, _HOSTS), (machine, _MACHINES)):
        if wanted is not None:
            mine = select(of.table.cluster_id).where(of.column == wanted)
            query = query.where((ClusterRow.id == DEFAULT_CLUSTER) | ClusterRow.id.in_(mine))
    rows = (await session.scalars(query)).all()
    hosts: dict[str, list[str]] = defaultdict(list)
    members = select(ClusterHostRow.cluster_id, ClusterHostRow.host_id).order_by(ClusterHostRow.host_id)
    for cluster, each in await session.execute(members):
        hosts[cluster].append(each)
    hosts[DEFAULT_CLUSTER] = list(await session.scalars(select(HostRow.id).order_by(HostRow.id)))
    numbers = select(ClusterMachineRow.cluster_id, func.count()).group_by(ClusterMachineRow.cluster_id)
    machines: dict[str, int] = dict((await session.execute(numbers)).all())
    machines[DEFAULT_CLUSTER] = await session.scalar(select(func.count()).select_from(MachineRow)) or 0
    return [
        model(
            row,
            Cluster,
            hosts=hosts[row.id],
            machines=machines.get(row.id, 0),
            default=row.id == DEFAULT_CLUSTER,
        )
        for row in rows
    ]


async def to_model(session: AsyncSession, id_: str) -> Cluster:
    """Return one cluster as it goes over the wire; `NotFound` when there is none."""
    await get(session, id_)
    return next(each for each in await models(session) if each.id == id_)


async def of_hosts(session: AsyncSession) -> dict[str, frozenset[str]]:
    """Return the ids of the clusters that each host is in, the default one left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for cluster, host in await session.execute(select(ClusterHostRow.cluster_id, ClusterHostRow.host_id)):
        found[host].add(cluster)
    return {host: frozenset(clusters) for host, clusters in found.items()}


def has_machine(cluster: str) -> ColumnElement[bool]:
    """Return the condition that a machine is in a cluster."""
    members = select(ClusterMachineRow.machine_id).where(ClusterMachineRow.cluster_id == cluster)
    return MachineRow.id.in_(members)


async def change_members(tx: Transaction, id_: str, wanted: ClusterMembers) -> None:
    """Let hosts and machines come in and leave; who is in already, or out, stays so.

    Raises
    ------
    NotFound
        There is no such cluster, host or machine; nothing was changed.
    """
    await get(tx.session, id_)
    await _change(tx, _HOSTS, id_, add=wanted.add_hosts, leave=wanted.remove_hosts)
    await _change(tx, _MACHINES, id_, add=wanted.add_machines, leave=wanted.remove_machines)
    await changed(tx, id_)


async def add_machine(tx: Transaction, id_: str, machine: str) -> None:
    """Put a new machine into the cluster that it was placed in."""
    if id_ != DEFAULT_CLUSTER:
        tx.session.add(ClusterMachineRow(cluster_id=id_, machine_id=machine))


async def changed(tx: Transaction, id_: str) -> Cluster:
    """Write and tell the changes of a cluster."""
    await tx.session.flush()
    cluster = await to_model(tx.session, id_)
    tx.emit("cluster.changed", f"cluster/{id_}", None, cluster)
    return cluster


async def remove(tx: Transaction, row: ClusterRow) -> None:
    """Delete a cluster; its hosts and machines stay, and are in it no more."""
    cluster = await to_model(tx.session, row.id)
    await tx.session.delete(row)
    await tx.session.flush()
    tx.emit("cluster.deleted", f"cluster/{row.id}", None, cluster)


async def _change(
    tx: Transaction, of: _Members, id_: str, *, add: Collection[str], leave: Collection[str]
) -> None:
    wanted = sorted({*add, *leave})
    for begin in range(0, len(wanted), _AT_ONCE):
        some = wanted[begin : begin + _AT_ONCE]
        missing = set(some) - set(await tx.session.scalars(select(of.kind.id).where(of.kind.id.in_(some))))
        if missing:
            raise NotFound(f"There is no {of.word} {min(missing)!r}; nothing was changed.")
        there = of.table.cluster_id == id_, of.column.in_(some)
        await tx.session.execute(delete(of.table).where(*there))
    come = sorted({*add} - {*leave})
    tx.session.add_all(of.table(cluster_id=id_, **{of.column.key: each}) for each in come)
    await tx.session.flush()


@dataclass(frozen=True)
class _Members:
    """Members of one kind: their table, and the one that says who is in."""

    word: str
    kind: Any
    table: Any
    column: Any


_HOSTS = _Members("host", HostRow, ClusterHostRow, ClusterHostRow.host_id)
_MACHINES = _Members("machine", MachineRow, ClusterMachineRow, ClusterMachineRow.machine_id)
_AT_ONCE = 500
"""Values in one condition: SQLite has a limit."""
