"""Volumes as the API sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from cernvmapi.errors import CernVMError, Conflict, HypervisorFailed
from cernvmapi.models import OperationStatus, Page, Volume, VolumeChange, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.machines import hands
from cernvmcontroller.store import Actor, Store, Transaction, operations, volumes
from cernvmcontroller.store.tables import MachineRow, OperationRow, VolumeRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.inventory import HostLink, Inventory
    from cernvmcontroller.machines.sidecars import Sidecars

_log = structlog.get_logger(__name__)

DELETION = "volume.delete"
"""Action of the operation that runs while a home is being deleted."""


async def deletion(session: AsyncSession, volume_id: str) -> OperationRow | None:
    """Return the operation that deletes a volume, None where nobody deletes it."""
    running = await operations.running(session, f"volume/{volume_id}")
    return next((operation for operation in running if operation.action == DELETION), None)


class Volumes:
    """The volumes that the hub made.

    Parameters
    ----------
    sidecars
        Say beside the homes whose they are.
    """

    def __init__(self, store: Store, inventory: Inventory, sidecars: Sidecars) -> None:
        self._sidecars = sidecars
        self._store = store
        self._inventory = inventory
        self._deleting: set[str] = set()
        """Ids of the homes that this process is deleting just now."""

    async def get(self, volume_id: str) -> Volume:
        """Return one volume."""
        async with self._store.read() as session:
            return volumes.to_model(await volumes.get(session, volume_id))

    async def page(
        self,
        *,
        owner: str | None = None,
        kind: VolumeKind | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Volume]:
        """Return one page, the newest first."""
        wanted = volumes.VolumeQuery(owner=owner, kind=kind, limit=limit, cursor=cursor)
        async with self._store.read() as session:
            found = await volumes.page(session, wanted)
        return Page(
            items=[volumes.to_model(row) for row in found.rows],
            total=found.total,
            next=found.next,
            event_id=found.event_id,
        )

    async def change(self, actor: Actor, volume_id: str, request: VolumeChange) -> Volume:
        """Say whose home it is; the volume beside it says so too, as soon as a host reaches its pool.

        Raises
        ------
        Conflict
            It is no home, is being deleted, a machine has it, or the new owner's server has one already.
        """
        details = {"owner": request.owner, "server": request.server_name}
        async with self._store.write(actor, "volume.change", f"volume/{volume_id}", details=details) as tx:
            row = await volumes.get(tx.session, volume_id)
            await self._refuse(tx, row, "changed")
            if await deletion(tx.session, volume_id) is not None:
                raise Conflict("The home is being deleted; nobody is given it any more.")
            owner = row.owner if request.owner is None else request.owner
            server = row.server_name if request.server_name is None else request.server_name
            named = request.owner_id is not None or request.owner is not None
            await hands.change_home(tx, row, owner, server, request.owner_id if named else row.owner_id)
            changed = volumes.to_model(row)
        await self._sidecars.follow(volume_id)
        return changed

    async def delete(self, actor: Actor, volume_id: str) -> None:
        """Delete a home that no machine has, with all that is in it.

        While its operation runs, nobody is given the home. Where the host did not answer in time it may end
        the deletion later: the operation runs on, and the deletion is finished when the host answers again,
        by the next controller too, or when it is asked for anew.

        Raises
        ------
        Conflict
            It belongs to a machine, is deleted already, or is no home.
        HostUnreachable
            No host reaches its pool, or the one that does has not answered yet.
        HypervisorFailed
            The host refused; the home is as it was.
        """
        async with self._store.write(actor, DELETION, f"volume/{volume_id}") as tx:
            row = await volumes.get(tx.session, volume_id)
            await self._refuse(tx, row)
            host = self._inventory.of_pool(row.pool)
            operation = await deletion(tx.session, volume_id) or await operations.create(
                tx,
                naming.new_id("o"),
                DELETION,
                f"volume/{volume_id}",
                owner=row.owner,
                message="The home is deleted",
            )
        await self._delete(host, row, operation.id)

    async def go_on(self) -> None:
        """Go on with the deletions of which nobody knows the end, where a host of the pool answers."""
        async with self._store.read() as session:
            begun = {
                operation.subject.removeprefix("volume/"): operation.id
                for operation in await operations.running(session)
                if operation.action == DELETION
            }
            rows = [await session.get(VolumeRow, volume) for volume in begun]
        for row in rows:
            if row is None or row.id in self._deleting:
                continue
            try:
                await self._delete(self._inventory.of_pool(row.pool), row, begun[row.id])
            except CernVMError as error:
                _log.warning("home not deleted", volume=row.id, reason=error.detail)

    async def _delete(self, host: HostLink, row: VolumeRow, operation: str) -> None:
        subject = f"volume/{row.id}"
        self._deleting.add(row.id)
        try:
            async with self._sidecars.alone(row.id):
                await host.hypervisor.delete_volume(row.pool, row.name)
                await host.hypervisor.delete_volume(row.pool, naming.sidecar_volume(row.id))
                async with self._store.write(Actor.system(), DELETION, subject, audit=False) as tx:
                    await volumes.remove(tx, await volumes.get(tx.session, row.id))
                    await operations.finish(tx, operation, OperationStatus.SUCCEEDED)
        except HypervisorFailed as error:
            async with self._store.write(Actor.system(), DELETION, subject, audit=False) as tx:
                await operations.finish(tx, operation, OperationStatus.FAILED, error=error.problem())
            raise
        finally:
            self._deleting.discard(row.id)

    async def _refuse(self, tx: Transaction, row: VolumeRow, doing: str = "deleted") -> None:
        """Refuse to delete or to change what somebody needs, or what is being deleted."""
        if row.kind is not VolumeKind.HOME:
            raise Conflict(
                f"The volume {row.name} is a {row.kind.value}: it goes when nothing needs it any more. "
                f"Only homes are {doing} by hand."
            )
        query = select(MachineRow.id).where(MachineRow.home == row.id)
        users = [row.machine] if row.machine else list(await tx.session.scalars(query))
        if users:
            raise Conflict(f"The home belongs to the machine {users[0]}; delete that one first.")
        if row.id in self._deleting:
            raise Conflict("The home is being deleted already; look again in a moment.")
