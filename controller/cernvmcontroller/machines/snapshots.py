"""Snapshots of machines as the API sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, NotFound
from cernvmapi.snapshots import Snapshot
from cernvmcontroller.machines import verbs
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.ledger import standing
from cernvmcontroller.store import Actor, Store, machines, operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmapi.models import Operation
    from cernvmapi.snapshots import SnapshotRequest
    from cernvmcontroller.machines.workshop import Workshop

MOST = 20
"""Snapshots that a machine has: each makes its disks larger, and slower to work with."""


class Snapshots:
    """Keeps what machines are, and brings them back to it.

    What there is says libvirt on the machine's host: a lost database loses none.

    Parameters
    ----------
    store
        Where the machines' rows are.
    workshop
        Knows the hosts.
    interrupt
        Has the reconciler leave what it does with a machine and look at it anew.
    """

    def __init__(self, store: Store, workshop: Workshop, interrupt: Callable[[str], None]) -> None:
        self._store = store
        self._shop = workshop
        self._interrupt = interrupt

    async def all(self, machine_id: str) -> list[Snapshot]:
        """Return a machine's snapshots, the oldest first; asks its host."""
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
        if row.host is None:
            return []
        try:
            found = await self._shop.inventory.link(row.host).hypervisor.snapshots(row.uuid)
        except NotFound:
            return []  # it never ran
        return [
            Snapshot(name=each.name, created=each.created, memory=each.memory, current=each.current)
            for each in found
        ]

    async def take(self, actor: Actor, machine_id: str, request: SnapshotRequest) -> Operation:
        """Begin to keep what a machine is now: its disk, its home, and its memory if it runs.

        Raises
        ------
        Conflict
            It has one of that name, too many, or none can be taken now.
        """
        there = await self.all(machine_id)
        if request.name is not None and any(each.name == request.name for each in there):
            raise Conflict(f"The machine has a snapshot {request.name} already; choose another name.")
        if len(there) >= MOST:
            raise Conflict(f"The machine has {len(there)} snapshots, more are not kept: delete one first.")
        name = request.name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        return await self._begin(actor, machine_id, Action.SNAPSHOT, name)

    async def revert(self, actor: Actor, machine_id: str, name: str) -> Operation:
        """Begin to bring a machine back: what its disk and its home got since is lost.

        Raises
        ------
        NotFound
            It has no such snapshot.
        Conflict
            It ran then and is off now, or the reverse.
        """
        snapshot = await self._one(machine_id, name)
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
            check(Action.REVERT, standing(row))
        runs = row.status.value == "running"
        if snapshot.memory and not runs:
            raise Conflict(f"The machine ran when the snapshot {name} was taken: start it first.")
        if not snapshot.memory and runs:
            raise Conflict(f"The machine was off when the snapshot {name} was taken: power it off first.")
        return await self._begin(actor, machine_id, Action.REVERT, name)

    async def forget(self, actor: Actor, machine_id: str, name: str) -> Operation:
        """Begin to delete a snapshot; the machine stays what it is now."""
        await self._one(machine_id, name)
        return await self._begin(actor, machine_id, Action.FORGET, name)

    async def _one(self, machine_id: str, name: str) -> Snapshot:
        for each in await self.all(machine_id):
            if each.name == name:
                return each
        raise NotFound(f"The machine has no snapshot {name}.")

    async def _begin(self, actor: Actor, machine_id: str, action: Action, name: str) -> Operation:
        details = {"snapshot": name}
        subject = f"machine/{machine_id}"
        async with self._store.write(actor, f"machine.{action.value}", subject, details=details) as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            answer = operations.to_model(await verbs.at_once(tx, row, action, name))
        self._interrupt(machine_id)
        return answer
