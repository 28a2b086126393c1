"""Dead hosts: what ran on them is started elsewhere, where its volumes are reached.

Two machines on one disk destroy it, and a host that does not answer may well go on. So somebody has to say,
or a configured command has to make sure, that it is off; and when it comes back all the same, what it has of
the machines that left is removed before anything else is done with them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, Conflict, NoRoom
from cernvmapi.models import Operation, OperationStatus, Power, Status, Target
from cernvmcontroller import naming
from cernvmcontroller.machines import verbs
from cernvmcontroller.machines.actions import Action
from cernvmcontroller.machines.ledger import changed, finish_operations
from cernvmcontroller.moving.wish import elsewhere
from cernvmcontroller.placement import choose
from cernvmcontroller.store import Actor, Store, Transaction, inventory, machines, operations
from cernvmcontroller.store.tables import PoolRow, VolumeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmapi.hosts import EvacuateRequest
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import HostRow, MachineRow

_log = structlog.get_logger(__name__)

ACTION = "host.evacuate"

_PATIENCE = 120.0
"""Seconds that the fence command may take."""

_ENDS = (Status.STOPPING, Status.DELETING)


class Evacuation:
    """Brings the machines of a dead host to others.

    Parameters
    ----------
    store
        Where hosts and machines are.
    workshop
        Knows the hosts that answer.
    fence
        A program and its arguments that switch a host off for sure, ``{host}`` for its name; empty for none.
    """

    def __init__(self, store: Store, workshop: Workshop, fence: Sequence[str] = ()) -> None:
        self._store = store
        self._shop = workshop
        self._fence = tuple(fence)

    async def evacuate(self, actor: Actor, host_id: str, request: EvacuateRequest) -> Operation:
        """Start what ran on a dead host on others, and place there what was off.

        Returns
        -------
        Operation
            It has ended; the machines that could not leave are named in its error. The starts are
            operations of their own.

        Raises
        ------
        Conflict
            The host answers, or nobody made sure that it is off.
        """
        async with self._store.read() as session:
            host = await inventory.host(session, host_id)
        self._refuse_alive(host)
        if not request.is_off:
            await self._switch_off(host)
        async with self._store.write(
            actor, ACTION, f"host/{host_id}", details={"is_off": request.is_off}
        ) as tx:
            self._refuse_alive(host)
            row = await inventory.host(tx.session, host_id)
            row.maintenance = True  # until somebody has looked at it
            await tx.session.flush()
            tx.emit("host.changed", f"host/{host_id}", None, await inventory.host_model(tx.session, host_id))
            begun = await operations.create(
                tx, naming.new_id("o"), ACTION, f"host/{host_id}", message=f"{row.name} is evacuated"
            )
            operation = begun.id
            placed = [each.id for each in await machines.on_host(tx.session, host_id)]
        failed: list[dict[str, str]] = []
        for machine in placed:
            reason = await self._one(actor, host_id, machine)
            if reason:
                failed.append({"machine": machine, "reason": reason})
        return await self._finish(operation, host.name, len(placed) - len(failed), failed)

    def _refuse_alive(self, host: HostRow) -> None:
        if self._shop.inventory.alive(host.id):
            raise Conflict(f"The host {host.name} answers: drain it instead; then its machines do not stop.")

    async def _switch_off(self, host: HostRow) -> None:
        """Have the host switched off; `Conflict` where that is not certain."""
        if not self._fence:
            raise Conflict(
                f"The host {host.name} does not answer, and that does not mean that its machines stopped. "
                "Switch it off, make sure that it stays off, and say so (is_off); or configure a fence "
                "command."
            )
        command = [part.replace("{host}", host.name) for part in self._fence]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise Conflict(f"The fence command {command[0]} cannot be run: {error.strerror}.") from None
        try:
            async with asyncio.timeout(_PATIENCE):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Conflict(
                f"The fence command did not end within {_PATIENCE:g} s; nothing was evacuated."
            ) from None
        if process.returncode != 0:
            words = said.decode(errors="replace").strip()[-500:]
            raise Conflict(
                f"The fence command failed, so nothing was evacuated: {words or process.returncode}"
            )
        _log.info("a host was fenced", host=host.id)

    async def _one(self, actor: Actor, host_id: str, machine: str) -> str:
        """Place one machine anew; return why that is not possible, nothing where it is."""
        try:
            async with self._store.write(actor, "machine.evacuate", f"machine/{machine}") as tx:
                row = await machines.get(tx.session, machine)
                if row.host != host_id:
                    return ""
                await self._place(tx, row, host_id)
        except CernVMError as error:
            _log.warning("a machine stays on a dead host", machine=machine, reason=error.detail)
            return error.detail
        await self._shop.leave(machine)
        self._shop.poke(machine)
        return ""

    async def _place(self, tx: Transaction, row: MachineRow, host_id: str) -> None:
        if row.stored:
            raise Conflict("Its memory is stored on the disk of that host.")
        if row.moving_to is not None:
            raise Conflict("It was being moved: which host has it is known when that host is back.")
        if row.moved_from is not None:
            raise Conflict(
                f"Something of it is still on the host {row.moved_from}, from an earlier move: that host has "
                "to answer first."
            )
        reach = await self._reaches(tx, row, host_id)
        appliance = await self._shop.repository.appliance(row.appliance)
        runs = row.status in (Status.RUNNING, Status.STARTING) or row.target is Target.RUNNING
        wish = elsewhere(row, appliance, self._shop.settings.overcommit, leaves=host_id, home_hosts=reach)
        candidates = await self._shop.inventory.candidates(
            tx.session, self._shop.settings.reserved_memory_mib
        )
        chosen = choose(candidates, wish, self._shop.settings.policy).hosts[0].id
        link = self._shop.inventory.link(chosen)
        tx.details.update({"owner": row.owner, "from": row.host, "to": chosen})
        row.host, row.moved_from = chosen, host_id
        row.hypervisor, row.acceleration = link.spec.shown_uri, link.known_acceleration()
        row.power, row.unknown_since = Power.OFF, None
        if row.status not in _ENDS and runs:
            await finish_operations(tx, row, OperationStatus.CANCELLED)
            verbs.start_row(row)
            await changed(tx, row)
            await verbs.begin(tx, row, Action.START)
        else:
            await changed(tx, row)

    async def _reaches(self, tx: Transaction, row: MachineRow, host_id: str) -> frozenset[str]:
        """Return the hosts that reach all volumes of a machine."""
        volumes_of = [row.home] if row.home is not None else []
        pools = {self._shop.inventory.specs[host_id].pool.name}
        for volume_id in volumes_of:
            home = await tx.session.get(VolumeRow, volume_id)
            if home is not None:
                pools.add(home.pool)
        reached: frozenset[str] | None = None
        for name in pools:
            pool = await tx.session.get(PoolRow, name)
            hosts = frozenset(there.host_id for there in pool.hosts) if pool is not None else frozenset()
            reached = hosts if reached is None else reached & hosts
        assert reached is not None
        if not reached - {host_id}:
            raise NoRoom("Its disk is on that host only; it goes on when the host is back.")
        return reached

    async def _finish(self, operation: str, name: str, gone: int, failed: list[dict[str, str]]) -> Operation:
        error = None
        if failed:
            error = Conflict(
                f"{len(failed)} machines could not leave the host {name}. Each one says why.",
                errors=[*failed],
            )
        async with self._store.write(Actor.system(), ACTION, f"operation/{operation}", audit=False) as tx:
            ended = await operations.finish(
                tx,
                operation,
                OperationStatus.FAILED if error else OperationStatus.SUCCEEDED,
                message=f"{gone} machines go on elsewhere",
                error=error.problem() if error else None,
            )
            return operations.to_model(ended)
