"""A home that is brought to the host where its machine starts, from a pool that this host does not reach."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError
from cernvmapi.models import Phase, Status
from cernvmcontroller.machines import sidecars
from cernvmcontroller.store import volumes

if TYPE_CHECKING:
    from cernvmcontroller.machines.start import Start
    from cernvmcontroller.store.tables import VolumeRow

_log = structlog.get_logger(__name__)

_TOLD_EVERY = 1.0


async def bring(start: Start, home: VolumeRow) -> VolumeRow:
    """Copy a home into the pool of the host where its machine starts, unless that host reaches it.

    Its row changes when the copy is whole; what is left in the old pool is removed after that, by
    `cernvmcontroller.moving`, when the host that has it answers. Killed before, the home is where it was.

    Raises
    ------
    HostUnreachable
        No host that has it answers.
    """
    shop, pool = start.shop, start.pool
    if home.pool == pool:
        return home
    source = shop.inventory.of_pool(home.pool)
    if home.allocation_mib is not None:  # else it was never made, and is made here
        _log.info("a home is brought", volume=home.id, machine=start.row.id, pool=pool)
        await _copy(start, home)
    async with shop.ledger.change(start.row.id, status=Status.STARTING) as (tx, row):
        moved = await volumes.get(tx.session, home.id)
        moved.pool = pool
        await volumes.changed(tx, moved)
        await sidecars.begin(tx, moved)
        row.moved_from = source.id
    return moved


async def _copy(start: Start, home: VolumeRow) -> None:
    source = start.shop.inventory.of_pool(home.pool)
    done = 0

    def progress(percent: int) -> None:
        nonlocal done
        done = percent

    copying = asyncio.ensure_future(
        source.hypervisor.copy_volume(
            home.pool, home.name, start.hypervisor.peer, start.pool, progress=progress
        )
    )
    try:
        while not (await start.job.until(asyncio.wait({copying}, timeout=_TOLD_EVERY)))[0]:
            await start.tell(Phase.DISK, f"Your home is brought to the host: {done} %", 22)
        copying.result()
    except BaseException:
        copying.cancel()
        await asyncio.wait({copying})
        with contextlib.suppress(CernVMError):
            await start.hypervisor.delete_volume(start.pool, home.name)
        raise
