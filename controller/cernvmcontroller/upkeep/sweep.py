"""Removing the bases and layers that nothing needs any more from a pool.

A start cannot lose its base to it: what is removed is locked against uploads first, and left alone while a
machine on a host of the pool is being put together. A start writes down that it is one before it asks for its
base, so it either is seen here or waits for the lock and brings the base again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from cernvmapi.errors import NotFound
from cernvmapi.models import Status
from cernvmcontroller.machines.start import Start
from cernvmcontroller.store import Actor, volumes
from cernvmcontroller.store.tables import MachineRow, MetaRow
from cernvmcontroller.upkeep import garbage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.workshop import Workshop

_log = structlog.get_logger(__name__)

_MADE = frozenset(name for name, *_ in Start.TALK)
"""Steps of a start at which the machine's domain refers to all that it needs."""


async def sweep(shop: Workshop, pool: str) -> None:
    """Remove uploads that were never finished, and what nothing needed for long enough.

    Nothing is done while a host of the pool does not answer: its domains may need what others do not.
    """
    links = [link for link in shop.inventory.links.values() if link.spec.pool.name == pool]
    if not links or not all(link.alive for link in links):
        return
    for name in await links[0].hypervisor.unfinished(pool):
        if garbage.is_source(name):
            await _remove_unfinished(shop, links[0], pool, name)
    names = await _unused(shop, links, pool)
    for name in await _due(shop, pool, names):
        async with shop.uploads.alone(pool, name) as alone:
            if alone and not await _making(shop, links) and name in await _unused(shop, links, pool):
                await _remove(shop, links[0], pool, name)


async def files(hypervisor: Hypervisor) -> set[str]:
    """Return the paths that the domains of a host refer to, whoever made them."""
    found: set[str] = set()
    for domain in await hypervisor.domains():
        try:
            found |= garbage.files_of(await hypervisor.domain_xml(domain.uuid))
        except NotFound:
            continue  # gone since the list was made
    return found


async def _unused(shop: Workshop, links: Sequence[HostLink], pool: str) -> set[str]:
    offered = shop.repository.bases()
    if shop.settings.layer is not None:
        offered.add((await shop.uploads.layer_name(shop.settings.layer))[0])
    there = await links[0].hypervisor.volumes(pool)
    if not garbage.unused(there, offered, ()):
        return set()  # and no domain is asked: there may be thousands
    needed = set().union(*[await files(link.hypervisor) for link in links])
    return garbage.unused(there, offered, needed)


async def _due(shop: Workshop, pool: str, names: Collection[str]) -> list[str]:
    """Write down what is unused; return what has been for long enough."""
    now, store = datetime.now(UTC), shop.ledger.store
    async with store.read() as session:
        row = await session.get(MetaRow, garbage.KEY)
    before = garbage.read(row.value if row else None)
    record = garbage.seen(before, pool, names, now)
    if record != before and (names or pool in before):
        async with store.write(Actor.system(), "bases.unused", f"pool/{pool}", audit=False) as tx:
            await tx.session.merge(MetaRow(key=garbage.KEY, value=garbage.write(record)))
    return garbage.due(record, pool, now, timedelta(seconds=shop.settings.keep_unused))


async def _making(shop: Workshop, links: Sequence[HostLink]) -> bool:
    """Whether a machine is being put together that may need anything of the pool."""
    query = select(MachineRow.step).where(
        MachineRow.status == Status.STARTING, MachineRow.host.in_([link.id for link in links])
    )
    async with shop.ledger.store.read() as session:
        return any(step not in _MADE for step in await session.scalars(query))


async def _remove(shop: Workshop, link: HostLink, pool: str, name: str) -> None:
    await link.hypervisor.delete_volume(pool, name)
    async with shop.ledger.store.write(Actor.system(), "volume.sweep", f"pool/{pool}") as tx:
        tx.details["volume"] = name
        row = await volumes.by_name(tx.session, pool, name)
        if row is not None:
            await volumes.remove(tx, row)
    _log.info("removed what nothing needs", pool=pool, volume=name)


async def _remove_unfinished(shop: Workshop, link: HostLink, pool: str, name: str) -> None:
    async with shop.uploads.alone(pool, name) as alone:
        if alone:
            await link.hypervisor.delete_volume(pool, name)
            _log.info("removed an upload that was never finished", pool=pool, volume=name)
