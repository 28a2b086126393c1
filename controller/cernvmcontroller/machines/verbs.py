"""What each verb does to a machine's row; the reconciler does the rest. Within one transaction each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict
from cernvmapi.models import OperationStatus, Phase, PhaseMark, Status, Target
from cernvmcontroller import naming
from cernvmcontroller.machines import momentary
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.ledger import changed, finish_operations, standing
from cernvmcontroller.machines.stop import Ending
from cernvmcontroller.store import Transaction, operations

if TYPE_CHECKING:
    from cernvmapi.models import MachineLock
    from cernvmcontroller.store.tables import MachineRow, OperationRow

_MESSAGES: dict[Action, str] = {
    Action.START: "The machine is started",
    Action.SHUTDOWN: "The machine is shut down",
    Action.POWEROFF: "The machine is powered off",
    Action.REBOOT: "The machine is rebooted",
    Action.RESET: "The machine is reset",
    Action.SUSPEND: "The machine is suspended",
    Action.RESUME: "The machine is resumed",
    Action.STORE: "The machine's memory is written to its host's disk",
    Action.SNAPSHOT: "What the machine is now is kept",
    Action.REVERT: "The machine is brought back to what it was",
    Action.FORGET: "A snapshot of the machine is deleted",
    Action.MOVE: "The machine is moved to another host",
    Action.DELETE: "The machine is deleted",
}


async def begin(tx: Transaction, row: MachineRow, action: Action, *, done: bool = False) -> OperationRow:
    """Begin an operation on a machine; `done` where there is nothing to do."""
    operation = await operations.create(
        tx,
        naming.new_id("o"),
        f"machine.{action.value}",
        f"machine/{row.id}",
        owner=row.owner,
        cancellable=action in (Action.START, Action.MOVE) and not done,
        message=_MESSAGES[action],
    )
    if done:
        return await operations.finish(tx, operation, OperationStatus.SUCCEEDED)
    return operation


async def under_way(tx: Transaction, row: MachineRow, *actions: Action) -> OperationRow | None:
    """Return the operation on a machine that runs already, if it is one of `actions`."""
    wanted = {f"machine.{action.value}" for action in actions}
    running = await operations.running(tx.session, f"machine/{row.id}")
    return next((operation for operation in reversed(running) if operation.action in wanted), None)


def start_row(row: MachineRow) -> None:
    """Set a machine to be started."""
    row.status, row.target, row.step = Status.STARTING, Target.RUNNING, None
    row.error, row.console_tail, row.awaiting_session, row.attempts = None, None, False, 0
    row.suspended = False
    row.phase, row.progress = Phase.PLACED, 5
    message = f"The machine goes to the host {row.host}"
    row.timeline = [PhaseMark(phase=Phase.PLACED, message=message, progress=5, at=datetime.now(UTC))]


async def stop(tx: Transaction, row: MachineRow, action: Action) -> OperationRow:
    """Shut a machine down or power it off; a start that runs is cancelled and undone."""
    ending = Ending.ORDERLY if action is Action.SHUTDOWN else Ending.POWER_CUT
    if not check(action, standing(row)):
        if row.status is Status.STOPPING and row.target is Target.RUNNING:
            row.target = Target.STOPPED  # a reboot becomes a shutdown
            await finish_operations(tx, row, OperationStatus.CANCELLED)
            await changed(tx, row)
            return await begin(tx, row, action)
        busy = row.status in (Status.STOPPING, Status.DELETING)
        running = await under_way(tx, row, Action.SHUTDOWN, Action.POWEROFF, Action.DELETE) if busy else None
        return running or await begin(tx, row, action, done=not busy)
    if row.moving_to is not None:
        await finish_operations(
            tx, row, OperationStatus.CANCELLED
        )  # it is broken off before the machine ends
    if row.status is Status.STARTING:
        ending = Ending.UNDO
        await finish_operations(tx, row, OperationStatus.CANCELLED)
    elif row.step == Ending.UNDO.value:
        ending = Ending.UNDO
    elif row.status is Status.STOPPING and row.target is Target.RUNNING:
        await finish_operations(tx, row, OperationStatus.CANCELLED)
    row.status, row.target, row.step = Status.STOPPING, Target.STOPPED, ending.value
    if ending is not Ending.UNDO:
        row.error, row.console_tail = None, None
    row.awaiting_session = False
    await changed(tx, row)
    return await begin(tx, row, action)


async def cancel_start(tx: Transaction, row: MachineRow) -> bool:
    """Undo a start; return whether there was one."""
    if row.status is not Status.STARTING:
        return False
    row.status, row.target, row.step = Status.STOPPING, Target.STOPPED, Ending.UNDO.value
    row.awaiting_session = False
    await changed(tx, row)
    return True


async def reboot(tx: Transaction, row: MachineRow) -> OperationRow:
    """Shut a machine down and start it again on the same disk."""
    check(Action.REBOOT, standing(row))
    start_row(row)
    row.status, row.step = Status.STOPPING, Ending.ORDERLY.value
    await changed(tx, row)
    return await begin(tx, row, Action.REBOOT)


async def at_once(tx: Transaction, row: MachineRow, action: Action, name: str = "") -> OperationRow:
    """Do to a machine what changes neither what it should be nor how far it is.

    Parameters
    ----------
    name
        Of the snapshot that it is about.

    Raises
    ------
    Conflict
        Something else is being done.
    """
    check(action, standing(row))
    refuse_busy(row)
    row.step = momentary.step(action, name)
    await changed(tx, row)
    return await begin(tx, row, action)


def refuse_busy(row: MachineRow) -> None:
    """Raise `Conflict` where something is being done with a machine that has to be done first."""
    if momentary.asked(row) is not None:
        raise Conflict("Something else is done with the machine just now; try again in a moment.")


async def store(tx: Transaction, row: MachineRow, lock: MachineLock | None) -> OperationRow:
    """Have a running machine's memory written to its host's disk, and the machine off."""
    check(Action.STORE, standing(row))
    row.status, row.target, row.step = Status.STOPPING, Target.STOPPED, Ending.STORE.value
    row.lock = lock
    await changed(tx, row)
    return await begin(tx, row, Action.STORE)


async def delete(tx: Transaction, row: MachineRow) -> OperationRow:
    """Remove a machine, whatever it does."""
    if not check(Action.DELETE, standing(row)):
        return await under_way(tx, row, Action.DELETE) or await begin(tx, row, Action.DELETE)
    await finish_operations(tx, row, OperationStatus.CANCELLED)
    row.status, row.target, row.step = Status.DELETING, Target.DELETED, None
    row.awaiting_session = False
    await changed(tx, row)
    return await begin(tx, row, Action.DELETE)
