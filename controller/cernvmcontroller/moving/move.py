"""A move, as the reconciler carries it out: each step is persisted before it is done.

Killed before the handing over, the machine is where it was. Killed after, both hosts are asked, and whatever
they say, the machine ends up on one of them, and its row says on which.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import (
    CernVMError,
    Conflict,
    HostUnreachable,
    HypervisorFailed,
    NotFound,
    StoreUnavailable,
)
from cernvmapi.models import OperationStatus, Power, Status, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.migration import Passage
from cernvmcontroller.machines import sidecars
from cernvmcontroller.machines.job import Interrupted
from cernvmcontroller.moving import belongings
from cernvmcontroller.moving.belongings import Carrier
from cernvmcontroller.moving.outcome import SILENT, Outcome, Silence, decide, seen
from cernvmcontroller.moving.steps import Step
from cernvmcontroller.store import Transaction, operations, volumes
from cernvmcontroller.store.tables import VolumeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.hypervisor.interface import DomainState, Hypervisor
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.job import Job
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow

_log = structlog.get_logger(__name__)

_OFF = (Status.PENDING, Status.STOPPED, Status.FAILED)
_TELL_EVERY = 1.0
"""Seconds between two times that the progress of a move is written down."""


class Move:
    """One attempt at moving a machine on.

    Parameters
    ----------
    workshop
        What it works with.
    row
        The machine as it was when the attempt began.
    job
        Wakes and interrupts it.
    """

    def __init__(self, workshop: Workshop, row: MachineRow, job: Job) -> None:
        self.shop = workshop
        self.row = row
        self.job = job
        assert row.moving_to is not None
        self.to: str = row.moving_to
        self._told = 0.0
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Do what is left of the move, and write down where the machine is.

        Raises
        ------
        HostUnreachable
            Only a host that does not answer knows that; look again when it does.
        """
        error: CernVMError | None = None
        wanted = self.row.status is Status.RUNNING or self.row.status in _OFF
        if wanted and self.row.moving_step == Step.PREPARE:
            try:
                here, there = self._link(self.row.host), self._link(self.to)
                carrier = Carrier(self.shop, self.row.appliance, here, there)
                if self.row.status is Status.RUNNING:
                    await self._live(carrier)
                else:
                    await self._at_rest(carrier)
                    await self._arrived(there)
                    return
            except CernVMError as failure:
                _log.warning("a move failed", machine=self.row.id, to=self.to, reason=failure.detail)
                error = failure
        await self._settle(error)

    # --- going ---

    async def _live(self, carrier: Carrier) -> None:
        """Move a running machine."""
        here, there = carrier.here.hypervisor, carrier.there.hypervisor
        await self._refuse_snapshots(here)
        known = await there.domain(self.row.uuid)
        if known is not None and known.power is not Power.OFF:
            raise Conflict(f"The machine's domain runs on the host {self.to} already; ask an administrator.")
        if known is not None:
            await there.undefine(self.row.uuid)  # of an earlier time there
        files: dict[str, str] = {}
        if carrier.needed:
            named = belongings.files_of(await here.domain_xml(self.row.uuid))
            names = belongings.names_in(carrier.here.spec.pool.path, named)
            sorted_ = belongings.sort(names)
            for name in sorted_.bases:
                await self._say("The appliance is brought to the other host", 2)
                await self.job.until(asyncio.shield(asyncio.ensure_future(carrier.base(name))))
            for name in sorted_.fixed:
                await self.job.until(carrier.copy(name))
            for name in sorted_.own:
                await carrier.empty(name)
            files = {f"{carrier.here.spec.pool.path}/{name}": carrier.path_there(name) for name in names}
        await self._enter(Step.HAND_OVER)
        passage = Passage(
            address=carrier.there.spec.migration_address,
            encrypted=self.shop.settings.moves_encrypted,
            copied=carrier.needed,
            files=files,
        )
        await self.job.until(here.migrate(self.row.uuid, there.peer, passage, self._percent))

    async def _at_rest(self, carrier: Carrier) -> None:
        """Copy what a machine that is off has; where both hosts have its pool there is nothing to do."""
        await self._refuse_snapshots(carrier.here.hypervisor)
        if not carrier.needed:
            return
        names = [volume.name for volume in await self._own(carrier.here)]
        for number, name in enumerate(names):
            share = 100 // len(names)

            def progress(percent: int, before: int = number * share, share: int = share) -> None:
                self._percent(before + percent * share // 100)

            state = await carrier.here.hypervisor.volume(carrier.here.spec.pool.name, name)
            if state is None:
                continue  # a home that was never made
            if state.backing is not None:
                base = belongings.names_in(carrier.here.spec.pool.path, [state.backing])
                for each in base:
                    await carrier.base(each)
            await carrier.there.hypervisor.delete_volume(carrier.there.spec.pool.name, name)
            await self.job.until(carrier.copy(name, progress=progress))

    async def _refuse_snapshots(self, here: Hypervisor) -> None:
        """Refuse to lose a machine's snapshots: libvirt keeps them on its host, and moves no such domain."""
        try:
            kept = await here.snapshots(self.row.uuid)
        except NotFound:
            return  # it never ran
        if kept:
            names = ", ".join(each.name for each in kept)
            raise Conflict(f"The machine's snapshots ({names}) stay with its host: delete them first.")

    async def _own(self, here: HostLink) -> list[VolumeRow]:
        """Return the volumes of the machine that lie in its host's own pool."""
        async with self.shop.ledger.store.read() as session:
            return await _own(session, self.row, here.spec.pool.name)

    # --- where it is ---

    async def _settle(self, error: CernVMError | None) -> None:
        here, there = await self._look(self.row.host), await self._look(self.to)
        outcome = decide(seen(here), seen(there))
        _log.info("a move ended", machine=self.row.id, here=seen(here), there=seen(there), outcome=outcome)
        match outcome:
            case Outcome.OPEN:
                raise error or HostUnreachable("Where the machine is knows a host that does not answer.")
            case Outcome.ARRIVED:
                await self._arrived(self._link(self.to))
            case Outcome.STAYED | Outcome.STANDS | Outcome.ENDED:
                await self._stayed(outcome, error, there)

    async def _look(self, host: str | None) -> DomainState | Silence | None:
        try:
            return await self._link(host).hypervisor.domain(self.row.uuid)
        except HostUnreachable:
            return SILENT

    async def _stayed(
        self, outcome: Outcome, error: CernVMError | None, there: DomainState | Silence | None
    ) -> None:
        """Write down that the machine is where it was, and have the other host forget it."""
        here = self._link(self.row.host).hypervisor
        if there is not None and not isinstance(there, Silence):
            await here.abort_migration(self.row.uuid)  # nobody leads it any more
            # Before it goes on, nothing that came in on the other host may be left that could.
            await self._link(self.to).hypervisor.destroy(self.row.uuid)
        if outcome is Outcome.STANDS:
            await here.resume(self.row.uuid)
        if error is None and self.row.moving_step != Step.BREAK_OFF and self.row.status is Status.RUNNING:
            error = HypervisorFailed(
                "The move was broken off, and the machine goes on where it was. Try again."
            )
        async with self.shop.ledger.change(self.row.id) as (tx, row):
            row.moving_to, row.moving_step, row.moved_from = None, None, self.to
            status = OperationStatus.FAILED if error else OperationStatus.CANCELLED
            await finish_moves(tx, row, status, error)
            if row.status in _OFF:
                await _release_home(tx, row)
        self.shop.poke(self.row.id)

    async def _arrived(self, there: HostLink) -> None:
        """Write down that the machine is on the other host, with all that belongs to it."""
        left = self.shop.inventory.links.get(self.row.host or "")
        async with self.shop.ledger.change(self.row.id) as (tx, row):
            if left is not None and left.spec.pool.name != there.spec.pool.name:
                for volume in await _own(tx.session, row, left.spec.pool.name):
                    await _drop(tx, there.spec.pool.name, volume.name)
                    volume.pool = there.spec.pool.name
                    await volumes.changed(tx, volume)
                    if volume.kind is VolumeKind.HOME:
                        await sidecars.begin(tx, volume)
            row.moved_from, row.host = row.host, self.to
            row.moving_to, row.moving_step = None, None
            row.hypervisor, row.attempts = there.spec.shown_uri, 0
            if row.status in _OFF:
                await _release_home(tx, row)
            else:
                row.power = Power.ON
            await finish_moves(tx, row, OperationStatus.SUCCEEDED)
        _log.info("machine moved", machine=self.row.id, host=self.to, left=left.id if left else None)
        if self.row.status is Status.RUNNING:
            await self.shop.leave(self.row.id)
            self.shop.follow(self.row, there)
        if self.row.home is not None:
            await self.shop.sidecars.go_on(self.row.home)
        self.shop.poke(self.row.id)

    # --- what is told ---

    async def _enter(self, step: Step) -> None:
        self.job.checkpoint()
        async with self.shop.ledger.change(self.row.id, status=self.row.status) as (_, row):
            if row.moving_step == Step.BREAK_OFF:
                raise Interrupted
            row.moving_step = step

    def _percent(self, percent: int) -> None:
        """Have the progress written down, not too often; the move does not wait for that."""
        now = time.monotonic()
        if now - self._told < _TELL_EVERY:
            return
        self._told = now
        task = asyncio.ensure_future(self._say(f"The machine is moved to {self.to}", 5 + percent * 90 // 100))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _say(self, message: str, percent: int) -> None:
        with contextlib.suppress(CernVMError, Interrupted):
            async with self.shop.ledger.change(self.row.id) as (tx, row):
                for operation in await operations.running(tx.session, f"machine/{row.id}"):
                    if operation.action == ACTION:
                        await operations.progress(tx, operation, percent, message)

    def _link(self, host: str | None) -> HostLink:
        return self.shop.inventory.link(host)


ACTION = "machine.move"
"""The operation that runs during a move."""


async def finish_moves(
    tx: Transaction, row: MachineRow, status: OperationStatus, error: CernVMError | None = None
) -> None:
    """End the operation of a move; what else is under way for the machine goes on."""
    for operation in await operations.running(tx.session, f"machine/{row.id}"):
        if operation.action == ACTION:
            await operations.finish(tx, operation, status, error=error.problem() if error else None)


class Mover:
    """What the reconciler asks for: `cernvmcontroller.machines.worker.Mover`."""

    async def go_on(self, shop: Workshop, row: MachineRow, job: Job) -> None:
        """Do what is left of a move."""
        await Move(shop, row, job).run()

    async def tidy(self, shop: Workshop, row: MachineRow) -> None:
        """Remove what a move left on another host; where that fails the machine is looked after anyway."""
        try:
            await tidy(shop, row)
        except StoreUnavailable:
            raise
        except CernVMError as error:
            _log.warning(
                "something is left of a move", machine=row.id, host=row.moved_from, reason=error.detail
            )


async def _own(session: AsyncSession, row: MachineRow, pool: str) -> list[VolumeRow]:
    found: Sequence[VolumeRow] = await volumes.of_machine(session, row.id)
    mine = {volume.id: volume for volume in found if volume.pool == pool}
    if row.home is not None:
        home = await session.get(VolumeRow, row.home)
        if home is not None and home.pool == pool:
            mine[home.id] = home
    return sorted(mine.values(), key=lambda volume: volume.name)


async def _release_home(tx: Transaction, row: MachineRow) -> None:
    """Give back the home that was kept from others while it was copied."""
    if row.home is not None:
        home = await tx.session.get(VolumeRow, row.home)
        if home is not None and home.machine == row.id:
            await volumes.detach(tx, home)


async def tidy(shop: Workshop, row: MachineRow) -> None:
    """Remove what is left of a machine on a host where it is not (any more), if that host answers.

    Its domain there is powered off: the row says where the machine is, and it is there only.
    """
    assert row.moved_from is not None
    if row.moved_from in (row.host, row.moving_to):
        return
    if row.moved_from not in shop.inventory.specs:
        await _forget(shop, row)
        return
    if not shop.inventory.alive(row.moved_from) or not shop.inventory.alive(row.host):
        return
    left, place = shop.inventory.link(row.moved_from), shop.inventory.link(row.host)
    await left.hypervisor.destroy(row.uuid)
    await left.hypervisor.undefine(row.uuid)
    pool = left.spec.pool.name
    if pool != place.spec.pool.name:
        names = [naming.disk_volume(row.id), naming.seed_volume(row.id)]
        if row.home is not None:
            async with shop.ledger.store.read() as session:
                home = await session.get(VolumeRow, row.home)
            if home is not None and home.pool != pool:
                # Where the database says that the home is, it must be before its copy goes.
                if (
                    await place.hypervisor.volume(home.pool, home.name) is None
                    and home.allocation_mib is not None
                ):
                    raise HypervisorFailed(
                        f"The home {home.id} is not on {place.id}; its copy on {left.id} is kept."
                    )
                names += [naming.sidecar_volume(row.home), naming.home_volume(row.home)]
        for name in names:
            await left.hypervisor.delete_volume(pool, name)
        async with shop.ledger.change(row.id) as (tx, _):
            for name in names:
                await _drop(tx, pool, name)
    await _forget(shop, row)


async def _drop(tx: Transaction, pool: str, name: str) -> None:
    """Take a volume out of the books that was found in a pool where it does not belong."""
    known = await volumes.by_name(tx.session, pool, name)
    if known is not None:
        await volumes.remove(tx, known)


async def _forget(shop: Workshop, row: MachineRow) -> None:
    async with shop.ledger.change(row.id) as (_, current):
        if current.moved_from == row.moved_from:
            current.moved_from = None
