"""Hosts that are drained: none of their machines stays, and none comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, Conflict, HostUnreachable, StoreUnavailable
from cernvmapi.lifecycle import MoveRequest
from cernvmapi.models import Operation, OperationStatus
from cernvmcontroller import naming
from cernvmcontroller.store import Actor, Store, inventory, machines, operations
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from cernvmapi.hosts import DrainRequest
    from cernvmcontroller.inventory import Inventory
    from cernvmcontroller.machines.operations import Operations
    from cernvmcontroller.moving.moves import Moves
    from cernvmcontroller.store.tables import MachineRow

_log = structlog.get_logger(__name__)

ACTION = "host.drain"
"""The operation that runs until the last machine left."""

_AT_ONCE = "at_once"
"""Key in the operation's details."""

_LOOK = 60.0
"""Seconds that a wait for another operation takes before it is looked at again."""


class Drains:
    """Drains hosts, one machine after the other.

    Parameters
    ----------
    store
        Where hosts and machines are.
    inventory
        Knows which hosts answer.
    moves
        Moves machines.
    operations
        Waits for their ends.
    """

    def __init__(self, store: Store, inventory: Inventory, moves: Moves, operations: Operations) -> None:
        self._store = store
        self._inventory = inventory
        self._moves = moves
        self._operations = operations
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Go on with what an earlier controller began."""
        async with self._store.read() as session:
            begun = [row for row in await operations.running(session) if row.action == ACTION]
            found = [(row.id, row.subject.removeprefix("host/"), int(row.details[_AT_ONCE])) for row in begun]
        for operation, host, at_once in found:
            self._begin(operation, host, at_once)

    async def close(self) -> None:
        """Leave it where it is; moves go on by themselves."""
        await end(self._tasks.values())

    async def drain(self, actor: Actor, host_id: str, request: DrainRequest) -> Operation:
        """Take a host into maintenance and begin to move all its machines away.

        Raises
        ------
        HostUnreachable
            It does not answer: its machines cannot be moved, but perhaps evacuated.
        """
        async with self._store.write(actor, ACTION, f"host/{host_id}") as tx:
            row = await inventory.host(tx.session, host_id)
            if not self._inventory.alive(host_id):
                raise HostUnreachable(
                    f"The host {row.name} does not answer, so nothing can be moved from it. If it is off for "
                    "good, evacuate it."
                )
            if not row.maintenance:
                row.maintenance = True
                await tx.session.flush()
                tx.emit(
                    "host.changed", f"host/{host_id}", None, await inventory.host_model(tx.session, host_id)
                )
            for known in await operations.running(tx.session, f"host/{host_id}"):
                if known.action == ACTION:
                    return operations.to_model(known)
            details = {_AT_ONCE: request.at_once}
            begun = await operations.create(
                tx,
                naming.new_id("o"),
                ACTION,
                f"host/{host_id}",
                cancellable=True,
                message=f"The machines leave the host {row.name}",
                details=details,
            )
            answer = operations.to_model(begun)
        self._begin(answer.id, host_id, request.at_once)
        return answer

    async def cancel(self, actor: Actor, host_id: str, operation_id: str) -> None:
        """Move no more machines; those that are under way go on, and the host stays in maintenance."""
        async with self._store.write(actor, "operation.cancel", f"host/{host_id}") as tx:
            await operations.finish(tx, operation_id, OperationStatus.CANCELLED)
        task = self._tasks.pop(operation_id, None)
        if task is not None:
            await end([task])

    def _begin(self, operation: str, host: str, at_once: int) -> None:
        task = asyncio.create_task(self._run(operation, host, at_once), name=f"drain {host}")
        self._tasks[operation] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation, None))

    async def _run(self, operation: str, host: str, at_once: int) -> None:
        await self._inventory.settled()
        failed: dict[str, tuple[str, str]] = {}
        slots = asyncio.Semaphore(at_once)
        total = moved = 0

        async def one(row: MachineRow) -> None:
            nonlocal moved
            async with slots:
                reason = await self._leave(row.id)
                if reason:
                    failed[row.id] = row.name, reason
                else:
                    moved += 1
                await self._say(operation, moved, total, failed)

        try:
            while True:
                async with self._store.read() as session:
                    there = [row for row in await machines.on_host(session, host) if row.id not in failed]
                if not there:
                    break
                total = moved + len(failed) + len(there)
                await asyncio.gather(*(one(row) for row in there))
            await self._finish(operation, host, moved, failed)
        except StoreUnavailable as error:
            _log.warning("a drain waits for the next start of the controller", host=host, reason=error.detail)
        except Exception:
            _log.exception("a drain failed", host=host)
            raise

    async def _leave(self, machine: str) -> str:
        """Move one machine away; return why it did not leave, nothing where it did or is gone."""
        while True:
            try:
                await self._others_done(machine)
                moving = await self._moves.move(Actor.system(), machine, MoveRequest())
            except CernVMError as error:
                if isinstance(error, Conflict) and await self._busy(machine):
                    continue
                return "" if error.status == _GONE else error.detail
            ended = await self._ended(moving.id)
            if ended.status is OperationStatus.SUCCEEDED:
                return ""
            return ended.error.detail if ended.error else "Its move was cancelled."

    async def _others_done(self, machine: str) -> None:
        """Wait until what is done with a machine is done: a start, a stop, a move that somebody began."""
        async with self._store.read() as session:
            running = [row.id for row in await operations.running(session, f"machine/{machine}")]
        for operation in running:
            await self._ended(operation)

    async def _busy(self, machine: str) -> bool:
        async with self._store.read() as session:
            return bool(await operations.running(session, f"machine/{machine}"))

    async def _ended(self, operation: str) -> Operation:
        while True:
            found = await self._operations.wait(operation, _LOOK)
            if found.status is not OperationStatus.RUNNING:
                return found

    async def _say(self, operation: str, moved: int, total: int, failed: dict[str, tuple[str, str]]) -> None:
        message = f"{moved} of {total} machines left" + (f", {len(failed)} cannot" if failed else "")
        async with self._store.write(Actor.system(), ACTION, f"operation/{operation}", audit=False) as tx:
            percent = 100 * (moved + len(failed)) // max(total, 1)
            await operations.progress(tx, operation, min(percent, 99), message)

    async def _finish(
        self, operation: str, host: str, moved: int, failed: dict[str, tuple[str, str]]
    ) -> None:
        error = None
        if failed:
            error = Conflict(
                f"{len(failed)} machines are still on the host {host}. Each one says why.",
                errors=[{"machine": id_, "name": name, "reason": why} for id_, (name, why) in failed.items()],
            )
        async with self._store.write(Actor.system(), ACTION, f"operation/{operation}", audit=False) as tx:
            await operations.finish(
                tx,
                operation,
                OperationStatus.FAILED if error else OperationStatus.SUCCEEDED,
                message=f"{moved} machines left; the host is in maintenance",
                error=error.problem() if error else None,
            )


_GONE = 404
