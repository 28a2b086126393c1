"""What is asked of machines beside starting and ending them, as the API sees it; many at once, too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.errors import CernVMError, Conflict, Forbidden, NotFound
from cernvmapi.lifecycle import BulkResult
from cernvmapi.models import Machine, MachineLock, Operation
from cernvmcontroller.machines import verbs
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.ledger import changed, standing, to_model
from cernvmcontroller.store import Actor, Store, machines, operations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmapi.lifecycle import BulkRequest, LockRequest, StoreRequest
    from cernvmcontroller.machines.service import Machines
    from cernvmcontroller.store.tables import MachineRow


class Lifecycle:
    """Suspended, reset, stored, locked machines.

    Parameters
    ----------
    store
        Where their rows are.
    service
        The verbs that start and end machines.
    interrupt
        Has the reconciler leave what it does with a machine and look at it anew.
    """

    def __init__(self, store: Store, service: Machines, interrupt: Callable[[str], None]) -> None:
        self._store = store
        self._service = service
        self._interrupt = interrupt

    async def suspend(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to suspend a running machine: it stands still, its memory kept."""
        return await self._at_once(actor, machine_id, Action.SUSPEND)

    async def resume(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to let a paused machine go on."""
        return await self._at_once(actor, machine_id, Action.RESUME)

    async def reset(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to reset a running machine: it boots anew, and nobody in it is asked."""
        return await self._at_once(actor, machine_id, Action.RESET)

    async def _at_once(self, actor: Actor, machine_id: str, action: Action) -> Operation:
        async with self._store.write(actor, f"machine.{action.value}", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            answer = operations.to_model(await verbs.at_once(tx, row, action))
        self._interrupt(machine_id)
        return answer

    async def store(self, actor: Actor, machine_id: str, request: StoreRequest) -> Operation:
        """Begin to store a running machine: its memory goes to its host's disk, and it is locked if asked to.

        Raises
        ------
        Conflict
            It does not run, or serves a notebook and shall not be locked: the hub takes its server for
            stopped, and removes the machine with all that was stored.
        """
        details = {"lock": request.lock, "reason": request.reason}
        async with self._store.write(actor, "machine.store", f"machine/{machine_id}", details=details) as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            if row.notebook and not request.lock:
                raise Conflict(
                    "The machine serves a notebook. Without a lock the hub would remove it, and what was "
                    "stored with it: store and lock it."
                )
            lock = _lock(actor, request.reason) if request.lock else None
            answer = operations.to_model(await verbs.store(tx, row, lock))
        self._interrupt(machine_id)
        return answer

    async def lock(self, actor: Actor, machine_id: str, request: LockRequest) -> Machine:
        """Have a machine stay as it is until it is unlocked."""
        async with self._store.write(actor, "machine.lock", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            check(Action.LOCK, standing(row))
            row.lock = _lock(actor, request.reason)
            return await changed(tx, row)

    async def unlock(self, actor: Actor, machine_id: str, *, any_author: bool) -> Machine:
        """Unlock a machine; no error when it is not locked.

        Parameters
        ----------
        any_author
            Whether the caller may undo what others locked.

        Raises
        ------
        Forbidden
            Somebody else locked it.
        """
        async with self._store.write(actor, "machine.unlock", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            if not check(Action.UNLOCK, standing(row)) or row.lock is None:
                return to_model(row)
            if not any_author and row.lock.author != actor.name:
                raise Forbidden(f"{row.lock.author} locked the machine: they unlock it, or an administrator.")
            tx.details["author"] = row.lock.author
            row.lock = None
            return await changed(tx, row)

    # --- many at once ---

    async def many(self, actor: Actor, request: BulkRequest, owner: str | None) -> list[BulkResult]:
        """Do the same with many machines, or only say what would become of it; in the order of their ids.

        Parameters
        ----------
        owner
            Only this user's machines are there for the caller; None: all.
        """
        action = Action(request.action)
        async with self._store.read() as session:
            rows = {id_: await _visible(session, id_, owner) for id_ in dict.fromkeys(request.ids)}
        return [await self._one(actor, id_, row, action, request.preview) for id_, row in rows.items()]

    async def _one(
        self, actor: Actor, id_: str, row: MachineRow | None, action: Action, preview: bool
    ) -> BulkResult:
        if row is None:
            return BulkResult(id=id_, possible=False, reason=f"There is no machine {id_}.")
        try:
            if preview:
                needed = check(action, standing(row))
                reason = "" if needed else "There is nothing to do."
                return BulkResult(id=id_, name=row.name, possible=needed, reason=reason)
            operation = await self._verb(action)(actor, id_)
        except CernVMError as error:
            return BulkResult(id=id_, name=row.name, possible=False, reason=error.detail)
        return BulkResult(id=id_, name=row.name, possible=True, operation=operation)

    def _verb(self, action: Action) -> Callable[[Actor, str], Awaitable[Operation]]:
        service = self._service
        verbs_of: dict[Action, Callable[[Actor, str], Awaitable[Operation]]] = {
            Action.START: lambda actor, id_: service.start(actor, id_, None),
            Action.SHUTDOWN: service.shutdown,
            Action.POWEROFF: service.poweroff,
            Action.REBOOT: service.reboot,
            Action.DELETE: service.delete,
            Action.SUSPEND: self.suspend,
            Action.RESUME: self.resume,
            Action.RESET: self.reset,
        }
        return verbs_of[action]


def _lock(actor: Actor, reason: str) -> MachineLock:
    return MachineLock(author=actor.name, at=datetime.now(UTC), reason=reason)


async def _visible(session: AsyncSession, id_: str, owner: str | None) -> MachineRow | None:
    try:
        row = await machines.get(session, id_)
    except NotFound:
        return None
    return row if owner is None or row.owner == owner else None
