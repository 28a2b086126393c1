"""Sidecars of homes that changed hands: written at once, and again and again until it has been done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError
from cernvmapi.models import OperationStatus
from cernvmcontroller import naming
from cernvmcontroller.machines import sidecar
from cernvmcontroller.store import Actor, Store, Transaction, operations
from cernvmcontroller.store.tables import OperationRow, VolumeRow

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.inventory import Inventory

ACTION = "volume.change"
"""The operation that runs from a change of hands until the sidecar says so too."""

_log = structlog.get_logger(__name__)


async def begin(tx: Transaction, home: VolumeRow) -> OperationRow:
    """Write down, with the change itself, that the sidecar has to follow."""
    return await operations.create(
        tx,
        naming.new_id("o"),
        ACTION,
        f"volume/{home.id}",
        owner=home.owner,
        message="What is beside the home is written",
    )


class Sidecars:
    """Writes them, one writer for each at a time."""

    def __init__(self, store: Store, inventory: Inventory, hub_id: str) -> None:
        self._store = store
        self._inventory = inventory
        self._hub_id = hub_id
        self._locks: dict[str, asyncio.Lock] = {}

    def alone(self, volume_id: str) -> AbstractAsyncContextManager[None]:
        """Keep a home's sidecar from being written within the block."""
        return self._locks.setdefault(volume_id, asyncio.Lock())

    async def write(self, volume_id: str, hypervisor: Hypervisor | None = None) -> None:
        """Bring a sidecar to what the database says, and end the operations that wanted it.

        Parameters
        ----------
        hypervisor
            Of a host that reaches the home's pool; one is looked for where it is not given.

        Raises
        ------
        HostUnreachable, HypervisorFailed
            It may not have been written.
        """
        async with self.alone(volume_id):
            async with self._store.read() as session:
                home = await session.get(VolumeRow, volume_id)
                begun = [
                    operation
                    for operation in await operations.running(session, f"volume/{volume_id}")
                    if operation.action == ACTION
                ]
            if home is not None:
                reached = hypervisor or self._inventory.of_pool(home.pool).hypervisor
                await sidecar.write(reached, self._hub_id, home)
            if begun:
                status = OperationStatus.CANCELLED if home is None else OperationStatus.SUCCEEDED
                subject = f"volume/{volume_id}"
                async with self._store.write(Actor.system(), ACTION, subject, audit=False) as tx:
                    for operation in begun:
                        await operations.finish(tx, operation, status)

    async def follow(self, volume_id: str) -> None:
        """Write a sidecar now, if that can be; else `go_on` does it later."""
        try:
            await self.write(volume_id)
        except CernVMError as error:
            _log.warning("sidecar not written; tried again", volume=volume_id, reason=error.detail)

    async def go_on(self, volume_id: str | None = None) -> None:
        """Write those that could not be written yet, or that an earlier controller did not live to write.

        Parameters
        ----------
        volume_id
            Only this home's.
        """
        of_one = f"volume/{volume_id}" if volume_id is not None else None
        async with self._store.read() as session:
            running = await operations.running(session, of_one)
        begun = {operation.subject for operation in running if operation.action == ACTION}
        for subject in sorted(begun):
            await self.follow(subject.removeprefix("volume/"))
