"""Consoles, screenshots and keys of machines, as the API asks for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cernvmapi.consoles import ConsoleKind
from cernvmapi.errors import Conflict
from cernvmcontroller.consoles import keyboard
from cernvmcontroller.consoles.viewing import ScreenViewing, SerialViewing
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.machines.actions import check_shown
from cernvmcontroller.store import machines

if TYPE_CHECKING:
    from cernvmapi.consoles import ConsoleRequest, MachineKeys
    from cernvmcontroller.consoles.viewing import Viewing
    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store import Actor, Store
    from cernvmcontroller.store.tables import MachineRow

_AT_ONCE = 4
"""Screenshots that are made at the same time."""


class Screens:
    """What machines show, and what is typed into them.

    Parameters
    ----------
    store
        Where their rows are; each viewing and each pressing of keys is written into the audit record.
    workshop
        What the reconciler works with too.
    """

    def __init__(self, store: Store, workshop: Workshop) -> None:
        self._store = store
        self._shop = workshop
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def check(self, machine_id: str, kind: ConsoleKind) -> None:
        """Refuse a console that could not be opened now."""
        row = await self._row(machine_id)
        check_shown(kind, row.status, row.target, row.power)
        if kind is ConsoleKind.VNC:
            refusal = self._hypervisor(row).graphics_refusal
            if refusal:
                raise Conflict(refusal)

    async def open(self, actor: Actor, machine_id: str, request: ConsoleRequest) -> Viewing:
        """Open a console."""
        await self.check(machine_id, request.kind)
        details = {"kind": request.kind.value, "view_only": request.view_only}
        row = await self._noted(actor, "machine.console", machine_id, details)
        if request.kind is ConsoleKind.SERIAL:
            return SerialViewing(
                self._shop.consoles, machine_id, view_only=request.view_only, after=request.after
            )
        try:
            stream = await self._hypervisor(row).open_graphics(row.uuid)
        except WrongState:
            raise _went_off() from None
        return ScreenViewing(stream, view_only=request.view_only)

    async def screenshot(self, machine_id: str) -> bytes:
        """Return what is on a machine's screen, as PNG."""
        row = await self._row(machine_id)
        check_shown(None, row.status, row.target, row.power)
        async with self._room:
            try:
                return await self._hypervisor(row).screenshot(row.uuid)
            except WrongState:
                raise _went_off() from None

    async def press(self, actor: Actor, machine_id: str, keys: MachineKeys) -> None:
        """Press keys; what was typed is not written down, it may be a password."""
        chords = keyboard.pressed(keys.text, keys.keys)
        row = await self._row(machine_id)
        check_shown(None, row.status, row.target, row.power)
        details = {"characters": len(keys.text), "keys": len(keys.keys)}
        await self._noted(actor, "machine.keys", machine_id, details)
        try:
            await self._hypervisor(row).send_keys(row.uuid, chords)
        except WrongState:
            raise _went_off() from None

    async def _row(self, machine_id: str) -> MachineRow:
        async with self._store.read() as session:
            return await machines.get(session, machine_id)

    async def _noted(self, actor: Actor, action: str, machine_id: str, details: dict[str, Any]) -> MachineRow:
        subject = f"machine/{machine_id}"
        async with self._store.write(actor, action, subject, details=details) as tx:
            row = await machines.get(tx.session, machine_id)
            tx.details["owner"] = row.owner
            return row

    def _hypervisor(self, row: MachineRow) -> Hypervisor:
        return self._shop.inventory.link(row.host).hypervisor


def _went_off() -> Conflict:
    return Conflict("The machine has just gone off; start it first.")
