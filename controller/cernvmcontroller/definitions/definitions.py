"""Machines' definitions as the API sees them: shown, written, brought back, looked back at."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from difflib import unified_diff
from hashlib import sha256
from typing import TYPE_CHECKING

from cernvmapi.definitions import BrokenRule, Definition, MachineXml, XmlChange, XmlChanged
from cernvmapi.errors import CernVMError, Conflict, Forbidden, HypervisorFailed, Invalid, NotFound
from cernvmapi.models import Power
from cernvmcontroller.definitions import document, rules
from cernvmcontroller.definitions.merge import merged
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.ledger import changed, standing
from cernvmcontroller.store import Actor, Store, definitions, machines
from cernvmcontroller.store.definitions import DefinitionRow

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow

MOST = 100
"""Changes that are looked back at; older ones are thrown away."""


class Definitions:
    """Lets administrators write machines' XML.

    What libvirt accepts and the rules allow is what a machine is started with from then on. What the hub
    decides is put into it at each start.

    Parameters
    ----------
    store
        Where the rows are.
    workshop
        Knows the hosts.
    experts
        Names of users who may break the rules, when they say so.
    """

    def __init__(self, store: Store, workshop: Workshop, experts: frozenset[str]) -> None:
        self._store = store
        self._shop = workshop
        self._experts = experts
        self._turn = asyncio.Lock()

    async def get(self, machine_id: str) -> MachineXml:
        """Return a machine's domain as its host has it now.

        Raises
        ------
        NotFound
            It never ran.
        HostUnreachable
            Its host does not answer.
        """
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
            last = await definitions.newest(session, machine_id)
        hypervisor = self._hypervisor(row)
        xml = await _defined(hypervisor, row)
        on = row.power in (Power.ON, Power.PAUSED)
        return MachineXml(
            machine=machine_id,
            xml=xml,
            digest=_digest(xml),
            running=await hypervisor.domain_xml(row.uuid) if on else None,
            own=last is not None and last.own,
            pending=on and last is not None and not _counts(row, last),
        )

    async def write(self, actor: Actor, machine_id: str, request: XmlChange) -> XmlChanged:
        """Let a machine have another definition, from its next start on; or say what that would change.

        Raises
        ------
        Invalid
            It cannot be read, breaks a rule, or libvirt does not accept it.
        Forbidden
            It breaks a rule, and the caller may not.
        Conflict
            The machine's state does not allow it, or somebody changed the definition meanwhile.
        """
        async with self._turn:
            row = await self._editable(machine_id)
            hypervisor = self._hypervisor(row)
            now = await _defined(hypervisor, row)
            if request.digest is not None and request.digest != _digest(now):
                raise Conflict(
                    "The machine's definition was changed meanwhile, by somebody else or by a start. Read it "
                    "again and make your change there."
                )
            faults = rules.broken(request.xml, now)
            wanted = merged(request.xml, now)
            if request.preview:
                return _changed(machine_id, now, wanted, faults, kept=False)
            self._refuse(actor, faults, override=request.override)
            await _define(hypervisor, wanted)
            # What libvirt made of it: with the places of new devices, and in libvirt's order.
            kept = await _defined(hypervisor, row)
            change = DefinitionRow(
                own=True,
                xml=kept,
                before=now,
                comment=request.comment,
                overrode=sorted({each.rule for each in faults}),
            )
            try:
                await self._keep(actor, machine_id, change)
            except CernVMError:
                with suppress(CernVMError):  # its next start has what the database says, whatever is there
                    await hypervisor.define(now)
                raise
            return _changed(machine_id, now, kept, faults, kept=True, pending=row.power is not Power.OFF)

    async def reset(self, actor: Actor, machine_id: str) -> XmlChanged:
        """Let a machine have the hub's own definition again, from its next start on.

        Raises
        ------
        Conflict
            It has that, or its state does not allow it.
        """
        async with self._turn:
            row = await self._editable(machine_id)
            async with self._store.read() as session:
                changes = await definitions.history(session, machine_id)
            if not changes or not changes[0].own:
                raise Conflict("The machine has the hub's own definition already.")
            now, hubs = changes[0].xml, changes[-1].before
            hypervisor = self._hypervisor(row)
            # Until the next start composes it anew it is what the machine had before the first change. On a
            # host that did not accept the administrator's there is nothing yet: it is given up all the same.
            if await hypervisor.domain(row.uuid) is not None:
                now = await _defined(hypervisor, row)
                await _define(hypervisor, merged(hubs, now))
                hubs = await _defined(hypervisor, row)
            await self._keep(actor, machine_id, DefinitionRow(own=False, xml=hubs, before=now))
            return _changed(machine_id, now, hubs, [], kept=True, pending=row.power is not Power.OFF)

    async def history(self, machine_id: str) -> list[Definition]:
        """Return a machine's changes, the newest first."""
        async with self._store.read() as session:
            await machines.get(session, machine_id)
            rows = await definitions.history(session, machine_id)
        return [
            Definition(
                number=row.number,
                at=row.at,
                author=row.author,
                comment=row.comment,
                overrode=row.overrode,
                own=row.own,
                xml=row.xml,
                diff=_diff(row.before, row.xml),
            )
            for row in rows
        ]

    async def _editable(self, machine_id: str) -> MachineRow:
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
        check(Action.XML, standing(row))
        return row

    def _hypervisor(self, row: MachineRow) -> Hypervisor:
        if row.host is None:
            raise _never_started()
        return self._shop.inventory.link(row.host).hypervisor

    def _refuse(self, actor: Actor, faults: list[rules.Broken], *, override: bool) -> None:
        if not faults or (override and actor.name in self._experts):
            return
        said = "; ".join(f"line {each.line} ({each.rule}): {each.words}" for each in faults)
        if override:
            raise Forbidden(
                f"Only those whom the controller's option xml_experts names may break rules. {said}."
            )
        raise Invalid(
            f"The definition breaks a rule, nothing was changed. {said}.",
            errors=[{"rule": each.rule, "line": each.line, "message": each.words} for each in faults],
        )

    async def _keep(self, actor: Actor, machine_id: str, change: DefinitionRow) -> None:
        details = {"overrode": change.overrode, "own": change.own}
        subject = f"machine/{machine_id}"
        async with self._store.write(actor, "machine.xml", subject, details=details) as tx:
            row = await machines.get(tx.session, machine_id)
            check(Action.XML, standing(row))
            last = await definitions.newest(tx.session, machine_id)
            change.machine, change.author = machine_id, actor.name
            change.number = last.number + 1 if last is not None else 1
            tx.session.add(change)
            for old in (await definitions.history(tx.session, machine_id))[MOST - 1 : -1]:
                await tx.session.delete(old)  # the first one stays: it has the hub's own
            await changed(tx, row)


async def _defined(hypervisor: Hypervisor, row: MachineRow) -> str:
    try:
        return document.text(document.read(await hypervisor.domain_xml(row.uuid, defined=True)))
    except NotFound:
        raise _never_started() from None


async def _define(hypervisor: Hypervisor, xml: str) -> None:
    try:
        await hypervisor.define(xml)
    except HypervisorFailed as error:
        raise Invalid(
            f"Libvirt does not accept the definition, nothing was changed: {error.detail}"
        ) from None


def _never_started() -> NotFound:
    return NotFound("The machine is not defined on its host: it has not been started yet.")


def _counts(row: MachineRow, last: DefinitionRow) -> bool:
    """Whether the machine was started after its definition was written last."""
    return bool(row.timeline) and row.timeline[0].at > last.at


def _changed(
    machine_id: str,
    before: str,
    after: str,
    faults: list[rules.Broken],
    *,
    kept: bool,
    pending: bool = False,
) -> XmlChanged:
    return XmlChanged(
        machine=machine_id,
        kept=kept,
        diff=_diff(before, after),
        broken=[BrokenRule(rule=each.rule, line=each.line, message=each.words) for each in faults],
        digest=_digest(after if kept else before),
        pending=pending,
    )


def _diff(before: str, after: str) -> str:
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), "before", "after")
    return "".join(lines)


def _digest(xml: str) -> str:
    return sha256(xml.encode()).hexdigest()
