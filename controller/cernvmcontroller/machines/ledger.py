"""The rows of machines as the reconciler changes them: each change is persisted and told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.errors import CernVMError, NotFound
from cernvmapi.models import Machine, OperationStatus, Phase, PhaseMark, Power, Status, Target
from cernvmcontroller.machines.actions import Standing, actions
from cernvmcontroller.machines.job import Interrupted
from cernvmcontroller.store import Actor, Store, Transaction, inventory, machines, operations, volumes
from cernvmcontroller.store.tables import MachineRow, OperationRow, VolumeRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PHASES = tuple(Phase)


def to_model(row: MachineRow) -> Machine:
    """Return the machine as it goes over the wire, with what may be asked of it now."""
    return machines.to_model(row, valid(row))


def valid(row: MachineRow) -> list[str]:
    """Return the actions that are valid for a machine now."""
    return actions(standing(row))


def standing(row: MachineRow) -> Standing:
    """Return what decides which verbs are valid for a machine."""
    return Standing(
        row.status,
        row.power,
        protected=row.protected,
        lock=row.lock,
        moving_to=row.moving_to,
        stored=row.stored,
    )


async def changed(tx: Transaction, row: MachineRow) -> Machine:
    """Write and tell the changes of a row."""
    return await machines.changed(tx, row, valid(row))


def mark(row: MachineRow, phase: Phase, message: str, progress: int) -> bool:
    """Say how far a start is; it never goes back, whatever is done again after a restart.

    Returns
    -------
    bool
        Whether that is anything new.
    """
    timeline = list(row.timeline)
    last = timeline[-1] if timeline else None
    if last is not None and PHASES.index(phase) < PHASES.index(last.phase):
        return False
    progress = max(progress, row.progress)
    if last is not None and last.phase is phase:
        if (last.message, last.progress) == (message, progress):
            return False
        timeline[-1] = PhaseMark(phase=phase, message=message, progress=progress, at=last.at)
    else:
        timeline.append(PhaseMark(phase=phase, message=message, progress=progress, at=datetime.now(UTC)))
    row.phase, row.progress, row.timeline = phase, progress, timeline
    return True


async def finish_operations(
    tx: Transaction, row: MachineRow, status: OperationStatus, error: CernVMError | None = None
) -> None:
    """End what is under way for a machine."""
    problem = error.problem() if error is not None else None
    for operation in await operations.running(tx.session, f"machine/{row.id}"):
        await operations.finish(tx, operation, status, error=problem)


async def let_go(tx: Transaction, row: MachineRow) -> None:
    """Give back what only a running machine holds: its promise and its home."""
    row.power, row.unknown_since, row.awaiting_session = Power.OFF, None, False
    row.session_id, row.step, row.attempts = None, None, 0
    row.phase, row.progress, row.suspended = None, 0, False
    inventory.release(row)
    if row.home is not None:
        home = await tx.session.get(VolumeRow, row.home)
        if home is not None and home.machine == row.id:
            await volumes.detach(tx, home)


def _values(row: MachineRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in MachineRow.__table__.columns.keys()}  # noqa: SIM118


class Ledger:
    """The rows of machines."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def get(self, machine: str) -> MachineRow | None:
        """Return the row as it is now; None where it is gone."""
        async with self.store.read() as session:
            try:
                return await machines.get(session, machine)
            except NotFound:
                return None

    async def operation(self, machine: str) -> OperationRow | None:
        """Return the operation that is under way for a machine, the newest where there are several."""
        async with self.store.read() as session:
            under_way = await operations.running(session, f"machine/{machine}")
        return under_way[-1] if under_way else None

    @asynccontextmanager
    async def change(
        self, machine: str, *, status: Status | None = None, target: Target | None = None
    ) -> AsyncIterator[tuple[Transaction, MachineRow]]:
        """Yield the row within a write of the controller's own; what was changed is told at the end.

        Parameters
        ----------
        status, target
            What the row must still be.

        Raises
        ------
        Interrupted
            It is something else by now, or gone: whoever decided that has the say.
        """
        subject = f"machine/{machine}"
        async with self.store.write(Actor.system(), "machine.step", subject, audit=False) as tx:
            row = await tx.session.get(MachineRow, machine)
            if (
                row is None
                or (status is not None and row.status is not status)
                or (target is not None and row.target is not target)
            ):
                raise Interrupted
            before = _values(row)
            yield tx, row
            # Not `is_modified`: what the block flushed would no longer count.
            if _values(row) != before:
                await changed(tx, row)

    async def unknown(self, host: str) -> list[str]:
        """Mark the machines of a host that does not answer; return their ids.

        What was off stays off: nobody but the hub starts machines.
        """
        touched = []
        async with self.store.write(Actor.system(), "host.went", f"host/{host}", audit=False) as tx:
            for row in await machines.on_host(tx.session, host):
                if row.power in (Power.ON, Power.PAUSED):
                    row.power, row.unknown_since = Power.UNKNOWN, datetime.now(UTC)
                    await changed(tx, row)
                    touched.append(row.id)
        return touched
