"""Moves as they are asked for: placed, promised, begun, broken off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, NotFound
from cernvmapi.hosts import Proposal
from cernvmapi.models import Operation, OperationStatus, Status
from cernvmcontroller.machines import verbs
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.ledger import changed, standing, valid
from cernvmcontroller.moving import balance
from cernvmcontroller.moving.move import finish_moves
from cernvmcontroller.moving.steps import Step
from cernvmcontroller.moving.wish import elsewhere
from cernvmcontroller.placement import choose
from cernvmcontroller.store import (
    Actor,
    Store,
    Transaction,
    clusters,
    inventory,
    machines,
    operations,
    volumes,
)
from cernvmcontroller.store.tables import HostRow, OperationRow, VolumeRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmapi.lifecycle import MoveRequest
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.placement import Candidate, Wish
    from cernvmcontroller.store.tables import MachineRow


class Moves:
    """Moves machines from one host to another.

    Parameters
    ----------
    store
        Where their rows are.
    workshop
        Knows the hosts.
    interrupt
        Has the reconciler leave what it does with a machine and look at it anew.
    """

    def __init__(self, store: Store, workshop: Workshop, interrupt: Callable[[str], None]) -> None:
        self._store = store
        self._shop = workshop
        self._interrupt = interrupt

    async def move(self, actor: Actor, machine_id: str, request: MoveRequest) -> Operation:
        """Begin to move a machine; a running one goes on running.

        Raises
        ------
        NoRoom
            No host can take it; the reasons of each are in the text.
        Conflict
            What the machine does now, or its lock, does not allow it.
        """
        async with self._store.write(actor, "machine.move", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            answer = operations.to_model(await self.begin(tx, row, request.host))
        self._interrupt(machine_id)
        return answer

    async def begin(self, tx: Transaction, row: MachineRow, host: str | None) -> OperationRow:
        """Place a machine anew and write down that it goes there, within a transaction."""
        check(Action.MOVE, standing(row))
        if row.status is Status.RUNNING and row.step is not None:
            raise Conflict("Something else is done with the machine just now; try again in a moment.")
        if row.moved_from is not None:
            raise Conflict(
                f"Something of the machine is still on the host {row.moved_from}, from an earlier move, and "
                "is removed first: try again in a moment, or when that host is back."
            )
        candidates = await self.candidates(tx)
        choice = choose(candidates, await self.wish(tx.session, row, host), self._shop.settings.policy)
        row.moving_to, row.moving_step = choice.hosts[0].id, Step.PREPARE.value
        tx.details.update({"owner": row.owner, "from": row.host, "to": row.moving_to})
        if row.status is not Status.RUNNING and row.home is not None:
            await self._keep_home(tx, row)
        await changed(tx, row)
        return await verbs.begin(tx, row, Action.MOVE)

    async def candidates(self, tx: Transaction) -> list[Candidate]:
        """Return the hosts as placement sees them."""
        return await self._shop.inventory.candidates(tx.session, self._shop.settings.reserved_memory_mib)

    async def wish(self, session: AsyncSession, row: MachineRow, host: str | None = None) -> Wish:
        """Return what a machine needs of another host; `HostUnreachable` where its own is silent."""
        shop = self._shop
        here = shop.inventory.link(row.host)
        source = await session.get(HostRow, here.id)
        appliance = await shop.repository.appliance(row.appliance)
        live = row.status is Status.RUNNING
        kvm = live and row.acceleration == "kvm"
        away = frozenset[str]()
        if row.apart is not None:
            away = await inventory.with_group(session, row.owner, row.apart) - {here.id}
        home_hosts = await self._home_hosts(session, row, here.spec.pool.name)
        wish = elsewhere(row, appliance, shop.settings.overcommit, leaves=here.id, home_hosts=home_hosts)
        return replace(
            wish,
            host=host,
            cluster=row.cluster if host is None else None,
            away_from=away,
            host_arch=source.arch if live and source is not None else None,
            # A guest that was started on these processors counts on all that they can do.
            cpu_features=frozenset(source.cpu_features) if kvm and source is not None else frozenset(),
            acceleration=row.acceleration if live else None,
        )

    async def _home_hosts(self, session: AsyncSession, row: MachineRow, pool: str) -> frozenset[str] | None:
        """Return the hosts that reach the home; None where it goes with the machine, or there is none."""
        home = await session.get(VolumeRow, row.home) if row.home is not None else None
        if home is None or home.pool == pool:
            return None
        return frozenset(there.host_id for there in (await inventory.pool(session, home.pool)).hosts)

    async def _keep_home(self, tx: Transaction, row: MachineRow) -> None:
        """Keep the home from other machines while it is copied."""
        home = await tx.session.get(VolumeRow, row.home)
        if home is None:
            return
        try:
            await volumes.attach(tx, home, row.id)
        except Conflict:
            raise Conflict(f"The home is in use by the machine {home.machine}; move that one.") from None

    async def propose(self, cluster: str | None = None) -> list[Proposal]:
        """Return moves of running machines that would spread them more evenly; nothing is done.

        Parameters
        ----------
        cluster
            Only hosts of this cluster; None: all.
        """
        shop = self._shop
        async with self._store.read() as session:
            hosts = await shop.inventory.candidates(session, shop.settings.reserved_memory_mib)
            if cluster is not None:
                await clusters.get(session, cluster)
                hosts = [host for host in hosts if cluster in host.clusters]
            placed = []
            for host in hosts:
                for row in await machines.on_host(session, host.id) if host.alive else ():
                    if Action.MOVE.value in valid(row) and row.status is Status.RUNNING:
                        wish = await self.wish(session, row)
                        placed.append(balance.Placed(row.id, row.name, host.id, wish))
        found = balance.propose(hosts, placed, shop.settings.overcommit, shop.settings.policy)
        return [
            Proposal(
                machine=each.machine.id,
                name=each.machine.name,
                from_host=each.machine.host,
                to_host=each.to,
                before=round(each.before, 4),
                after=round(each.after, 4),
            )
            for each in found
        ]

    async def cancel(self, actor: Actor, machine_id: str, operation_id: str) -> None:
        """Break a move off; the machine goes on where it was, unless it is there already."""
        details = {"operation": operation_id}
        async with self._store.write(
            actor, "operation.cancel", f"machine/{machine_id}", details=details
        ) as tx:
            try:
                row = await machines.get(tx.session, machine_id)
            except NotFound:
                raise Conflict("The machine is gone.") from None
            if row.moving_to is None:
                raise Conflict("The move has ended already.")
            row.moving_step = Step.BREAK_OFF.value
            await finish_moves(tx, row, OperationStatus.CANCELLED)
            await changed(tx, row)
        self._interrupt(machine_id)
