"""Hosts, networks and pools, and what is promised on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import case, delete, func, select

from cernvmapi.errors import NoRoom
from cernvmapi.models import Host, Network, Pool, Target
from cernvmcontroller.store.lookup import model, one
from cernvmcontroller.store.tables import (
    AddressRow,
    HostRow,
    MachineRow,
    NetworkHostRow,
    NetworkRow,
    PoolHostRow,
    PoolRow,
    VolumeRow,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.store.transaction import Transaction


@dataclass(frozen=True)
class Promise:
    """What machines were promised on a host."""

    vcpus: int = 0
    memory_mib: int = 0
    machines: int = 0
    """All that are placed there, running or not."""


async def promised(session: AsyncSession) -> dict[str, Promise]:
    """Return what is promised on each host that has machines, by the hosts' ids.

    A machine that is being moved counts on both hosts: it needs its room on either until it is there.
    """
    sums: dict[str, Promise] = {}
    for place in (MachineRow.host, MachineRow.moving_to):
        query = select(
            place,
            func.coalesce(func.sum(case((MachineRow.promised, MachineRow.vcpus), else_=0)), 0),
            func.coalesce(func.sum(case((MachineRow.promised, MachineRow.memory_mib), else_=0)), 0),
            func.count(),
        )
        rows = await session.execute(query.where(place.is_not(None)).group_by(place))
        for host, vcpus, memory_mib, count in rows:
            known = sums.get(host, Promise())
            sums[host] = Promise(
                known.vcpus + int(vcpus), known.memory_mib + int(memory_mib), known.machines + count
            )
    return sums


async def promised_to(session: AsyncSession, owner: str | None) -> Promise:
    """Return what is promised to somebody's machines, on all hosts together."""
    query = select(
        func.coalesce(func.sum(case((MachineRow.promised, MachineRow.vcpus), else_=0)), 0),
        func.coalesce(func.sum(case((MachineRow.promised, MachineRow.memory_mib), else_=0)), 0),
        func.count(),
    ).where(MachineRow.owner == owner, MachineRow.target != Target.DELETED)
    vcpus, memory_mib, machines = (await session.execute(query)).one()
    return Promise(int(vcpus), int(memory_mib), machines)


async def with_group(session: AsyncSession, owner: str | None, group: str) -> frozenset[str]:
    """Return the ids of the hosts that have a machine of an owner's group, whose machines shall be apart."""
    query = select(MachineRow.host).where(MachineRow.apart == group, MachineRow.host.is_not(None))
    query = query.where(MachineRow.owner == owner if owner is not None else MachineRow.owner.is_(None))
    return frozenset(host for host in await session.scalars(query.distinct()) if host is not None)


async def promise(
    tx: Transaction, row: MachineRow, host_id: str, *, vcpus: int | None = None, memory_mib: int | None = None
) -> None:
    """Promise a machine its vCPUs and memory on a host.

    Writes are serialised, so that nobody else promises between the sum and the end of this transaction.

    Parameters
    ----------
    tx
        The write in which the machine is placed.
    row
        The machine; gets ``host`` and ``promised``. Doing it again for the same host changes nothing.
    host_id
        Where.
    vcpus, memory_mib
        How much may be promised on the host in all, over-commitment included; None for no limit.

    Raises
    ------
    NoRoom
        It is more than is left.
    """
    host = await one(tx.session, HostRow, host_id, "host")
    query = select(
        func.coalesce(func.sum(MachineRow.vcpus), 0), func.coalesce(func.sum(MachineRow.memory_mib), 0)
    ).where(
        (MachineRow.host == host_id) | (MachineRow.moving_to == host_id),
        MachineRow.promised,
        MachineRow.id != row.id,
    )
    others_vcpus, others_memory = (int(value) for value in (await tx.session.execute(query)).one())
    for what, unit, others, own, limit in (
        ("vCPUs", "", others_vcpus, row.vcpus, vcpus),
        ("memory", " MiB", others_memory, row.memory_mib, memory_mib),
    ):
        if limit is not None and others + own > limit:
            raise NoRoom(
                f"Host {host.name} has {max(limit - others, 0)}{unit} of {what} left,"
                f" the machine needs {own}{unit}: stop other machines, or choose a smaller flavor."
            )
    row.host, row.promised = host_id, True
    await tx.session.flush()


def release(row: MachineRow) -> None:
    """Take the promise back; the machine stays placed, for its disk is there."""
    row.promised = False


async def host(session: AsyncSession, id_: str) -> HostRow:
    """Return a host; `NotFound` when there is none."""
    return await one(session, HostRow, id_, "host")


async def network(session: AsyncSession, id_: str) -> NetworkRow:
    """Return a network; `NotFound` when there is none."""
    return await one(session, NetworkRow, id_, "network")


async def pool(session: AsyncSession, id_: str) -> PoolRow:
    """Return a pool; `NotFound` when there is none."""
    return await one(session, PoolRow, id_, "pool")


async def hosts(session: AsyncSession) -> Sequence[HostRow]:
    """Return all hosts by name."""
    return (await session.scalars(select(HostRow).order_by(HostRow.name))).all()


async def networks(session: AsyncSession) -> Sequence[NetworkRow]:
    """Return all networks by name."""
    return (await session.scalars(select(NetworkRow).order_by(NetworkRow.name))).all()


async def pools(session: AsyncSession) -> Sequence[PoolRow]:
    """Return all pools by name."""
    return (await session.scalars(select(PoolRow).order_by(PoolRow.name))).all()


async def put_host(tx: Transaction, given: HostRow) -> HostRow:
    """Insert a host, or change the attributes that are set in `given`; tell it when something changed."""
    row = await tx.session.merge(given)
    if tx.session.is_modified(row) or row in tx.session.new:
        await tx.session.flush()
        tx.emit("host.changed", f"host/{row.id}", None, await host_model(tx.session, row.id))
    return row


async def put_network(tx: Transaction, given: NetworkRow, hosts: Collection[str]) -> NetworkRow:
    """Insert a network or change it, on exactly these hosts; tell it when something changed."""
    row = await tx.session.merge(given)
    known = {there.host_id: there for there in row.hosts}
    if known.keys() != set(hosts):
        row.hosts = [known.get(id_) or NetworkHostRow(host_id=id_) for id_ in sorted(set(hosts))]
    if tx.session.is_modified(row) or row in tx.session.new:
        await tx.session.flush()
        taken = await addresses_used(tx.session)
        tx.emit("network.changed", f"network/{row.id}", None, _network(row, taken.get(row.id, 0)))
    return row


async def put_pool(tx: Transaction, given: PoolRow, hosts: Collection[str]) -> PoolRow:
    """Insert a pool or change it, on exactly these hosts; tell it when something changed."""
    row = await tx.session.merge(given)
    known = {there.host_id: there for there in row.hosts}
    if known.keys() != set(hosts):
        row.hosts = [known.get(id_) or PoolHostRow(host_id=id_) for id_ in sorted(set(hosts))]
    if tx.session.is_modified(row) or row in tx.session.new:
        await tx.session.flush()
        tx.emit("pool.changed", f"pool/{row.id}", None, _pool(row))
    return row


async def host_models(session: AsyncSession) -> list[Host]:
    """Return all hosts as they go over the wire."""
    sums = await promised(session)
    return [_host(row, sums.get(row.id, Promise())) for row in await hosts(session)]


async def host_model(session: AsyncSession, id_: str) -> Host:
    """Return a host as it goes over the wire."""
    sums = await promised(session)
    return _host(await host(session, id_), sums.get(id_, Promise()))


async def network_models(session: AsyncSession) -> list[Network]:
    """Return all networks as they go over the wire."""
    taken = await addresses_used(session)
    return [_network(row, taken.get(row.id, 0)) for row in await networks(session)]


async def pool_models(session: AsyncSession) -> list[Pool]:
    """Return all pools as they go over the wire."""
    return [_pool(row) for row in await pools(session)]


async def addresses_used(session: AsyncSession) -> dict[str, int]:
    """Return how many addresses are taken of each network of which any are."""
    query = select(AddressRow.network_id, func.count()).group_by(AddressRow.network_id)
    return dict((await session.execute(query)).all())


def _host(row: HostRow, sums: Promise) -> Host:
    return model(
        row,
        Host,
        vcpus_promised=sums.vcpus,
        memory_promised_mib=sums.memory_mib,
        machines=sums.machines,
        address=row.address or urlsplit(row.uris[0]).hostname or "",
        source="configuration" if row.attached is None else "api",
    )


async def forget_host(tx: Transaction, row: HostRow) -> None:
    """Delete a host on which nothing is placed, with what exists there only, and tell it."""
    host = await host_model(tx.session, row.id)
    await tx.session.delete(row)
    await tx.session.flush()
    # What is left of a pool are bases and layers, which are made again from the repository.
    for here, alone in (
        (PoolRow, PoolRow.id.not_in(select(PoolHostRow.pool_id))),
        (NetworkRow, NetworkRow.id.not_in(select(NetworkHostRow.network_id))),
    ):
        gone = (await tx.session.scalars(select(here.id).where(alone))).all()
        if here is PoolRow:
            await tx.session.execute(delete(VolumeRow).where(VolumeRow.pool.in_(gone)))
        await tx.session.execute(delete(here).where(here.id.in_(gone)))
    tx.emit("host.deleted", f"host/{row.id}", None, host)


def _network(row: NetworkRow, used: int) -> Network:
    return model(row, Network, hosts=sorted(there.host_id for there in row.hosts), used=used)


def _pool(row: PoolRow) -> Pool:
    return model(row, Pool, hosts=sorted(there.host_id for there in row.hosts))
