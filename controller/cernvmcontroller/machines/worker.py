"""What the reconciler does with one machine: look at its row, do the next thing, say what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from cernvmapi.errors import CernVMError, HostUnreachable, StartFailed, StoreUnavailable
from cernvmapi.models import Status
from cernvmcontroller import trace
from cernvmcontroller.machines import momentary, watch
from cernvmcontroller.machines.job import Interrupted, Job
from cernvmcontroller.machines.start import Start
from cernvmcontroller.machines.stop import Stop, delete, fail
from cernvmcontroller.store import operations

if TYPE_CHECKING:
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow

_log = structlog.get_logger(__name__)

UNDER_WAY = (Status.STARTING, Status.STOPPING, Status.DELETING)
"""What a machine does not stay in."""

_OURS = "The controller made an error; its log has the details. Ask an administrator."


class Mover(Protocol):
    """Moves machines from one host to another: `cernvmcontroller.moving`."""

    async def go_on(self, shop: Workshop, row: MachineRow, job: Job) -> None:
        """Do what is left of a move."""

    async def tidy(self, shop: Workshop, row: MachineRow) -> None:
        """Remove what a move left on another host, where that host answers."""


class Worker:
    """The work of `cernvmcontroller.machines.reconciler.Reconciler`.

    Parameters
    ----------
    workshop
        What it works with.
    mover
        Is handed the machines that move.
    """

    def __init__(self, workshop: Workshop, mover: Mover) -> None:
        self.shop = workshop
        self._mover = mover

    async def __call__(self, machine: str, job: Job) -> bool:
        """Move one machine on; False where it shall be tried again after a pause."""
        try:
            return await self._look(machine, job)
        except StoreUnavailable as error:
            # It says nothing about the machine: whatever was begun is gone on with when the database is back.
            _log.warning("a machine waits for the database", machine=machine, reason=error.detail)
            return False

    async def _look(self, machine: str, job: Job) -> bool:
        row = await self.shop.ledger.get(machine)
        if row is None:
            await self.shop.leave(machine)
            return True
        if row.host is not None and not self.shop.inventory.alive(row.host) and row.moving_to is None:
            return True  # looked at again when the host answers
        try:
            if row.status in UNDER_WAY or row.moving_to is not None:
                await self._name_operation(row)
            await self._move(row, job)
        except Interrupted:
            self.shop.poke(machine)
        except StoreUnavailable:
            raise
        except HostUnreachable as error:
            return await self._unreachable(row, error)
        except CernVMError as error:
            return await self._refused(row, error)
        except Exception:  # noqa: BLE001 - a machine must not hang in "starting" because we erred
            _log.exception("a step failed", status=row.status)
            return await self._refused(row, StartFailed(_OURS))
        return True

    async def _name_operation(self, row: MachineRow) -> None:
        """Have the log say what the work is for, and who asked for it."""
        operation = await self.shop.ledger.operation(row.id)
        if operation is not None:
            trace.add(operation=operation.id, request_id=operations.request_id(operation))
        _log.info("a machine is moved on", status=row.status.value, step=row.step, attempts=row.attempts)

    async def _move(self, row: MachineRow, job: Job) -> None:
        if row.moving_to is not None:
            await self._mover.go_on(self.shop, row, job)
            return
        if row.moved_from is not None:
            await self._mover.tidy(self.shop, row)
        match row.status:
            case Status.STARTING:
                await Start(self.shop, row, job).run()
            case Status.STOPPING:
                await Stop(self.shop, row, job).run()
            case Status.DELETING:
                await delete(self.shop, row)
            case Status.RUNNING | Status.PENDING | Status.STOPPED | Status.FAILED:
                asked = momentary.asked(row)
                if asked is not None:
                    await momentary.do(self.shop, row, *asked)
                elif row.status is Status.RUNNING:
                    await watch.look(self.shop, row)
                else:
                    await watch.settle(self.shop, row)

    async def _unreachable(self, row: MachineRow, error: HostUnreachable) -> bool:
        """Wait for the host; give a start up whose host answers to everything but this."""
        if not self.shop.inventory.alive(row.host):
            await self.shop.leave(row.id)
            return True
        return await self._refused(row, error, patient=True)

    async def _refused(self, row: MachineRow, error: CernVMError, *, patient: bool = False) -> bool:
        """Fail a start; try everything else again, for there is no other way than to the end."""
        _log.warning("a step failed", status=row.status, step=row.step, reason=error.detail)
        try:
            async with self.shop.ledger.change(row.id, status=row.status) as (_, current):
                current.attempts += 1
                attempts = current.attempts
        except Interrupted:
            self.shop.poke(row.id)
            return True
        if row.status is not Status.STARTING:
            return False
        if patient and attempts < self.shop.settings.max_attempts:
            return False
        try:
            await fail(self.shop, row.id, error, status=Status.STARTING)
        except Interrupted:
            self.shop.poke(row.id)
        return True
