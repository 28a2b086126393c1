"""Volumes as the API sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmapi.errors import Conflict, HostUnreachable, HypervisorFailed
from cernvmapi.models import Page, Volume, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.store import Actor, Store, Transaction, volumes
from cernvmcontroller.store.tables import MachineRow, VolumeRow

if TYPE_CHECKING:
    from cernvmcontroller.inventory import HostLink, Inventory


class Volumes:
    """The volumes that the hub made."""

    def __init__(self, store: Store, inventory: Inventory) -> None:
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

    async def delete(self, actor: Actor, volume_id: str) -> None:
        """Delete a home that no machine has, with all that is in it.

        From the first moment on nobody is given it, and that is kept: a host that did not answer in time may
        end the deletion later. A deletion of which nobody knows the end is finished when the host answers
        again, or when it is asked for once more.

        Raises
        ------
        Conflict
            It belongs to a machine, is deleted already, or is no home.
        HypervisorFailed
            The host refused; the home is as it was.
        """
        async with self._store.write(actor, "volume.delete", f"volume/{volume_id}") as tx:
            row = await volumes.get(tx.session, volume_id)
            await self._refuse(tx, row)
            host = self._host(row.pool)
            row.going = True
        await self._delete(actor, row, host)

    async def finish_deletions(self, host: HostLink) -> None:
        """Finish what was begun on a host's pool, by whom and whenever that was."""
        async with self._store.read() as session:
            rows = await volumes.going(session, host.spec.pool.name)
        for row in rows:
            if row.id not in self._deleting:
                await self._delete(Actor.system(), row, host)

    async def _delete(self, actor: Actor, row: VolumeRow, host: HostLink) -> None:
        self._deleting.add(row.id)
        subject = f"volume/{row.id}"
        try:
            await host.hypervisor.delete_volume(row.pool, row.name)
            await host.hypervisor.delete_volume(row.pool, naming.sidecar_volume(row.id))
            async with self._store.write(actor, "volume.delete", subject, audit=False) as tx:
                await volumes.remove(tx, await volumes.get(tx.session, row.id))
        except HypervisorFailed:
            async with self._store.write(actor, "volume.delete", subject, audit=False) as tx:
                (await volumes.get(tx.session, row.id)).going = False
            raise
        finally:
            self._deleting.discard(row.id)

    async def _refuse(self, tx: Transaction, row: VolumeRow) -> None:
        """Refuse to delete what somebody needs, or what is being deleted."""
        if row.kind is not VolumeKind.HOME:
            raise Conflict(
                f"The volume {row.name} is a {row.kind.value}: it goes when nothing needs it any more. "
                "Only homes are deleted by hand."
            )
        query = select(MachineRow.id).where(MachineRow.home == row.id)
        users = [row.machine] if row.machine else list(await tx.session.scalars(query))
        if users:
            raise Conflict(f"The home belongs to the machine {users[0]}; delete that one first.")
        if row.id in self._deleting:
            raise Conflict("The home is being deleted already; look again in a moment.")

    def _host(self, pool: str) -> HostLink:
        for link in self._inventory.links.values():
            if link.spec.pool.name == pool and link.alive:
                return link
        raise HostUnreachable(f"No host with the storage pool {pool} answers; try again when one is back.")
