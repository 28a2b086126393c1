"""Ends: an orderly stop, a power cut, the undoing of a start, and the removal of everything."""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, HypervisorFailed, NotFound, error_from
from cernvmapi.models import OperationStatus, Power, Status, Target, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.machines.ledger import changed, finish_operations, let_go
from cernvmcontroller.store import Actor, addresses, machines, volumes
from cernvmcontroller.store.tables import MachineRow

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.job import Job
    from cernvmcontroller.machines.workshop import Workshop

_PRESS_AGAIN = 5.0
_log = structlog.get_logger(__name__)


class Ending(StrEnum):
    """How a machine is brought down; kept in `MachineRow.step` while it is."""

    ORDERLY = "end:orderly"
    """The agent ends the server and unmounts the home, then the guest shuts down."""
    POWER_CUT = "end:power-cut"
    STORE = "end:store"
    """Its memory is written to the host's disk first."""
    UNDO = "end:undo"
    """A start that failed or was cancelled: what it made is removed."""


class Stop:
    """Brings a machine down.

    Parameters
    ----------
    workshop
        What it works with.
    row
        The machine.
    job
        Wakes and interrupts it.
    """

    def __init__(self, workshop: Workshop, row: MachineRow, job: Job) -> None:
        self.shop = workshop
        self.row = row
        self.job = job
        self.host: HostLink = workshop.inventory.link(row.host)
        self.ending = Ending(row.step) if row.step in set(Ending) else Ending.POWER_CUT

    async def run(self) -> None:
        """Bring it down and write down that it is."""
        if self.ending is Ending.ORDERLY and await self._on():
            await self._orderly()
        if self.ending is Ending.STORE and not await self._store():
            return
        await self._off()

    async def _store(self) -> bool:
        """Have its memory written to the host's disk; False where that failed and it runs on."""
        error: CernVMError | None = None
        try:
            await self.job.until(self.host.hypervisor.store(self.row.uuid))
        except WrongState:
            return True  # it went off by itself
        except HypervisorFailed as failure:
            error = failure
        if error is not None and not await self._on():
            return True
        async with self.shop.ledger.change(self.row.id, status=Status.STOPPING) as (tx, current):
            if error is None:
                current.stored = True
                return True
            current.status, current.target, current.step = Status.RUNNING, Target.RUNNING, None
            current.lock = None
            await finish_operations(tx, current, OperationStatus.FAILED, error)
        self.shop.poke(self.row.id)
        return False

    async def _off(self) -> None:
        row = self.row
        await self.host.hypervisor.destroy(row.uuid)
        await self.shop.leave(row.id)
        if self.ending is Ending.UNDO and await self._fresh():
            await remove_from_host(self.shop, row, self.host)
        change = self.shop.ledger.change(row.id, status=Status.STOPPING)
        async with change as (tx, current):
            again = current.target is Target.RUNNING
            if again:
                # A reboot: the same operation goes on with the start, on what the machine has.
                current.status, current.power, current.session_id = Status.STARTING, Power.OFF, None
            else:
                await let_go(tx, current)
                current.status = Status.FAILED if current.error else Status.STOPPED
                error = error_from(current.error) if current.error else None
                end = OperationStatus.FAILED if error else OperationStatus.SUCCEEDED
                await finish_operations(tx, current, end, error)
        if not again:
            self.shop.sessions.forget(row.id)
        self.shop.poke(row.id)

    async def _orderly(self) -> None:
        settings = self.shop.settings
        link = self.shop.links.get(self.row.id)
        if link is not None and link.connected:
            try:
                refused = await self.job.until(link.ask("stop", settings.agent_stop_timeout))
            except ConnectionError as error:
                refused = str(error)
            if refused is not None:
                _log.warning("the agent did not stop its server", machine=self.row.id, reason=refused)
        loop = asyncio.get_running_loop()
        pressed = float("-inf")

        async def off() -> bool | None:
            nonlocal pressed
            if not await self._on():
                return True
            if loop.time() - pressed >= _PRESS_AGAIN:
                # A guest that still boots does not hear the power button yet.
                pressed = loop.time()
                with contextlib.suppress(WrongState):
                    await self.host.hypervisor.shutdown(self.row.uuid)
            return None

        every = min(settings.wait_interval, _PRESS_AGAIN)
        if await self.job.look(off, settings.shutdown_timeout, every) is None:
            _log.warning("the machine did not shut down and is powered off", machine=self.row.id)

    async def _on(self) -> bool:
        state = await self.host.hypervisor.domain(self.row.uuid)
        return state is not None and state.power is not Power.OFF

    async def _fresh(self) -> bool:
        """Whether the machine never ran before the start that is undone, so that its disk holds nothing."""
        if not self.row.timeline:
            return False
        begun = self.row.timeline[0].at
        async with self.shop.ledger.store.read() as session:
            disks = [
                volume.created
                for volume in await volumes.of_machine(session, self.row.id)
                if volume.kind is VolumeKind.DISK
            ]
        return all(created >= begun for created in disks)


async def remove_from_host(shop: Workshop, row: MachineRow, host: HostLink) -> None:
    """Remove a machine's domain, disk and seed; its home stays. Every part may be gone already."""
    hypervisor, pool = host.hypervisor, host.spec.pool.name
    await hypervisor.destroy(row.uuid)
    await _forget_snapshots(row, hypervisor)
    await hypervisor.undefine(row.uuid)
    names = (naming.disk_volume(row.id), naming.seed_volume(row.id))
    for name in names:
        await hypervisor.delete_volume(pool, name)
    async with shop.ledger.store.write(
        Actor.system(), "machine.step", f"machine/{row.id}", audit=False
    ) as tx:
        for name in names:
            volume = await volumes.by_name(tx.session, pool, name)
            if volume is not None:
                await volumes.remove(tx, volume)


async def _forget_snapshots(row: MachineRow, hypervisor: Hypervisor) -> None:
    """Free the room that a machine's snapshots take in its home, which stays."""
    if row.home is None:
        return
    with contextlib.suppress(NotFound):
        for each in await hypervisor.snapshots(row.uuid):
            try:
                await hypervisor.delete_snapshot(row.uuid, each.name)
            except HypervisorFailed as error:
                # Room is lost then, and nothing else: a machine must not stay for that.
                _log.warning("a snapshot stays in a home", machine=row.id, reason=error.detail)


async def delete(shop: Workshop, row: MachineRow) -> None:
    """Remove a machine from its host and from the database; its home stays and its address is free again.

    Where something of it may be on another host that does not answer, as after an evacuation, its row stays
    until that is gone too: a domain without a row would be taken for a machine that was forgotten.
    """
    if row.host is not None:
        await remove_from_host(shop, row, shop.inventory.link(row.host))
    await shop.leave(row.id)
    async with shop.ledger.store.write(
        Actor.system(), "machine.step", f"machine/{row.id}", audit=False
    ) as tx:
        current = await tx.session.get(MachineRow, row.id)
        if current is not None:
            await let_go(tx, current)
            await finish_operations(tx, current, OperationStatus.SUCCEEDED)
            if current.moved_from in shop.inventory.specs:
                await addresses.release(tx, current.id)
                current.address = None
                await changed(tx, current)
            else:
                await machines.remove(tx, current)
    shop.consoles.forget(row.id)
    shop.sessions.forget(row.id)


async def fail(
    shop: Workshop, machine: str, error: CernVMError, *, status: Status, ending: Ending = Ending.UNDO
) -> None:
    """Write down that a machine could not be brought where it should be; what is left of it is ended next.

    Parameters
    ----------
    status
        What the machine must still be: whoever asked for something else meanwhile has the say.
    """
    log = next((str(entry["log_tail"]) for entry in error.errors if "log_tail" in entry), "")
    tail = shop.consoles.tail(machine)
    kept = f"{tail}\n\nNotebook server:\n{log}" if log and tail else log or tail
    async with shop.ledger.change(machine, status=status) as (_, row):
        row.status, row.target, row.step = Status.STOPPING, Target.STOPPED, ending.value
        row.error, row.console_tail, row.attempts = error.problem(), kept or None, 0
        row.awaiting_session = False
    shop.poke(machine)
