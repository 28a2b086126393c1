"""The machines as the API sees them: every verb changes rows and has the reconciler do the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, Invalid, NotFound, TooLarge
from cernvmapi.models import (
    Console,
    Machine,
    MachineChange,
    MachineCreate,
    Operation,
    OperationStatus,
    Page,
    Session,
    Status,
    Target,
)
from cernvmcontroller.guests import agentwire
from cernvmcontroller.machines import hands, quota, size, verbs
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.birth import Birth
from cernvmcontroller.machines.ledger import changed, standing, to_model
from cernvmcontroller.store import Actor, Store, Transaction, inventory, machines, operations
from cernvmcontroller.store.tables import HostRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow, OperationRow


class Machines:
    """The machines and what can be done to them.

    Parameters
    ----------
    store
        Where their rows are.
    workshop
        What the reconciler works with too.
    interrupt
        Has the reconciler leave what it does with a machine and look at it anew.
    """

    def __init__(self, store: Store, workshop: Workshop, interrupt: Callable[[str], None]) -> None:
        self._store = store
        self._shop = workshop
        self._interrupt = interrupt
        self._birth = Birth(store, workshop)

    # --- look ---

    async def get(self, machine_id: str) -> Machine:
        """Return one machine."""
        async with self._store.read() as session:
            return to_model(await machines.get(session, machine_id))

    async def page(
        self,
        *,
        owner: str | None = None,
        status: Collection[Status] = (),
        host: str | None = None,
        cluster: str | None = None,
        search: str | None = None,
        sort: str = "-created",
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Machine]:
        """Return one page of the machines that fit all filters."""
        wanted = machines.MachineQuery(
            owner=owner,
            statuses=tuple(status),
            host=host,
            cluster=cluster,
            search=search,
            sort=sort,
            limit=limit,
            cursor=cursor,
        )
        async with self._store.read() as session:
            found = await machines.page(session, wanted)
        return Page(
            items=[to_model(row) for row in found.rows],
            total=found.total,
            next=found.next,
            event_id=found.event_id,
        )

    async def console(self, machine_id: str) -> Console:
        """Return the end of a machine's serial console: of this boot, or what was kept of the last one."""
        machine = await self.get(machine_id)
        text, truncated = self._shop.consoles.text(machine_id)
        return Console(machine=machine_id, text=text or machine.console_tail or "", truncated=truncated)

    # --- act ---

    async def create(self, actor: Actor, request: MachineCreate, owner: str | None) -> tuple[Machine, bool]:
        """Return the machine and whether it is new; it has its host and its address."""
        machine, new = await self._birth.create(actor, request, owner)
        if request.start:
            await self.start(actor, machine.id, None)
            machine = await self.get(machine.id)
        return machine, new

    async def start(
        self, actor: Actor, machine_id: str, session: Session | None, *, discard: bool = False
    ) -> Operation:
        """Begin a start; where one runs already, return its operation.

        Parameters
        ----------
        discard
            Boot anew although its memory is stored.
        """
        async with self._store.write(actor, "machine.start", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            _refuse_session(row, session)
            if discard:
                check(Action.START, standing(row))
                row.stored = False
            operation = await self._start(tx, row, session)
            answer = operations.to_model(operation)
        if session is not None:
            self._shop.sessions.put(machine_id, session)
        self._shop.poke(machine_id)
        return answer

    async def _start(self, tx: Transaction, row: MachineRow, session: Session | None) -> OperationRow:
        if check(Action.START, standing(row)):
            link = self._shop.inventory.link(row.host)
            host = await inventory.host(tx.session, link.id)
            if host.maintenance:
                raise Conflict(
                    f"The host {host.name} is in maintenance, and the machine is placed there. Try again "
                    "when an administrator has ended it."
                )
            verbs.refuse_busy(row)
            size.apply(row)
            await self._promise(tx, row, host)
        elif row.status is Status.STARTING:
            running = await verbs.under_way(tx, row, Action.START, Action.REBOOT)
            if running is not None:
                return running
        else:
            held = self._shop.sessions.get(row.id)
            if session is None or (held is not None and held.session == session):
                return await verbs.begin(tx, row, Action.START, done=True)
            # It runs for an earlier session of the same server: the agent changes over.
        verbs.start_row(row)
        await changed(tx, row)
        return await verbs.begin(tx, row, Action.START)

    async def _promise(self, tx: Transaction, row: MachineRow, host: HostRow) -> None:
        """Promise a machine what it has, within its owner's quota and what its host may promise."""
        settings = self._shop.settings
        await quota.check(tx.session, settings.quota, row, new=False)
        memory = max(0, host.memory_mib - settings.reserved_memory_mib)
        await inventory.promise(
            tx,
            row,
            host.id,
            vcpus=int(host.cpus * settings.overcommit.vcpus),
            memory_mib=int(memory * settings.overcommit.memory),
        )

    async def shutdown(self, actor: Actor, machine_id: str) -> Operation:
        """Begin an orderly shutdown."""
        return await self._end(actor, machine_id, Action.SHUTDOWN)

    async def poweroff(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to switch the machine off without asking it."""
        return await self._end(actor, machine_id, Action.POWEROFF)

    async def _end(self, actor: Actor, machine_id: str, action: Action) -> Operation:
        async with self._store.write(actor, f"machine.{action.value}", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            answer = operations.to_model(await verbs.stop(tx, row, action))
        if answer.status is OperationStatus.RUNNING:
            self._interrupt(machine_id)
        return answer

    async def reboot(self, actor: Actor, machine_id: str) -> Operation:
        """Begin a reboot.

        Raises
        ------
        Conflict
            The machine serves a notebook and nobody has its session any more: this controller and the hub
            were both restarted since. It would wait for it in vain, so it is left as it is.
        """
        await self._need_session(machine_id)
        async with self._store.write(actor, "machine.reboot", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            if check(Action.REBOOT, standing(row)) and size.apply(row):
                await self._promise(tx, row, await inventory.host(tx.session, row.host or ""))
            answer = operations.to_model(await verbs.reboot(tx, row))
        self._interrupt(machine_id)
        return answer

    async def _need_session(self, machine_id: str) -> None:
        """Have the hub send the session of a machine again that this controller does not hold."""
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
        check(Action.REBOOT, standing(row))
        if not row.notebook or self._shop.sessions.get(machine_id) is not None:
            return
        async with self._shop.ledger.change(machine_id) as (_, current):
            current.awaiting_session = True
        if not await self._shop.sessions.arrival(machine_id, self._shop.settings.resend_timeout):
            async with self._shop.ledger.change(machine_id) as (_, current):
                current.awaiting_session = False
            raise Conflict(
                "The machine cannot be rebooted: its notebook server's session is not known any more, since "
                "hub and controller were restarted. Stop the server and start it again; the home stays."
            )

    async def delete(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to remove the machine and its disk; the home stays."""
        async with self._store.write(actor, "machine.delete", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            answer = operations.to_model(await verbs.delete(tx, row))
        self._interrupt(machine_id)
        return answer

    async def cancel_start(self, actor: Actor, machine_id: str, operation_id: str) -> None:
        """Cancel a start; what it made is removed and the machine is as it was before."""
        subject = f"machine/{machine_id}"
        async with self._store.write(
            actor, "operation.cancel", subject, details={"operation": operation_id}
        ) as tx:
            try:
                row = await machines.get(tx.session, machine_id)
            except NotFound:
                raise Conflict("The machine is gone.") from None
            if not await verbs.cancel_start(tx, row):
                raise Conflict("The start has ended already.")
            await operations.finish(tx, operation_id, OperationStatus.CANCELLED)
        self._interrupt(machine_id)

    async def change(self, actor: Actor, machine_id: str, request: MachineChange) -> Machine:
        """Rename or relabel the machine, or say whose it is from now on; its home goes with it.

        Domain and sidecar follow, at once where their host answers.

        Raises
        ------
        Invalid
            It serves no hub server, and a name of one was given.
        Conflict
            It is being deleted or locked, the server has another machine or home, or the host has not so many
            processors.
        NoRoom
            Its host cannot promise that much.
        """
        details = {"owner": request.owner, "server": request.server_name}
        async with self._store.write(actor, "machine.change", f"machine/{machine_id}", details=details) as tx:
            row = await machines.get(tx.session, machine_id)
            if row.target is Target.DELETED:
                raise Conflict("The machine is being deleted: it gets no other name any more.")
            tx.details["was"] = row.owner
            before = to_model(row)
            for field in ("name", "labels", "notes", "protected"):
                wanted = getattr(request, field)
                if wanted is not None:
                    setattr(row, field, wanted)
            await self._resize(tx, row, request)
            if (request.owner, request.server_name, request.owner_id) != (None, None, None):
                await hands.change_machine(tx, row, request)
            machine = before if to_model(row) == before else await changed(tx, row)
        if machine.home is not None:
            await self._shop.sidecars.go_on(machine.home)
        self._shop.poke(machine_id)
        return machine

    async def _resize(self, tx: Transaction, row: MachineRow, request: MachineChange) -> None:
        """Note another size, which the machine has at once while it is off."""
        flavor = self._shop.inventory.flavor(request.flavor) if request.flavor is not None else None
        wanted = size.asked(row, request, flavor)
        if wanted is None:
            return
        appliance = await self._shop.repository.appliance(row.appliance)
        host = await tx.session.get(HostRow, row.host) if row.host is not None else None
        size.refuse(row, wanted, appliance, host.cpus if host is not None and host.cpus else None)
        size.want(row, wanted)
        tx.details["size"] = f"{wanted.vcpus} vCPUs, {wanted.memory_mib} MiB"
        if host is not None and row.promised and row.pending is None:
            await self._promise(tx, row, host)

    async def put_session(self, actor: Actor, machine_id: str, session: Session) -> Machine:
        """Give the machine's notebook server (again) what it needs."""
        async with self._store.write(actor, "machine.session", f"machine/{machine_id}") as tx:
            row = await machines.get(tx.session, machine_id)
            _refuse_session(row, session)
            if row.status not in (Status.STARTING, Status.RUNNING):
                raise Conflict(f"The machine is {row.status.value}; start it with its session.")
            machine = to_model(row)
        self._shop.sessions.put(machine_id, session)
        self._shop.poke(machine_id)
        return machine


def _refuse_session(row: MachineRow, session: Session | None) -> None:
    if session is not None and not row.notebook:
        raise Invalid("The machine serves no notebook: it has no use for a session.")
    if session is not None and not agentwire.fits(session):
        raise TooLarge(
            f"The session is larger than the {agentwire.MAX_LINE // 1024} KiB that a machine's agent takes; "
            "send it with a smaller environment or smaller files."
        )
