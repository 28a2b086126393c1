"""Machines' hardware as the API sees it: what they are made of, and what they shall be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.definitions import XmlChange
from cernvmapi.errors import Conflict, HypervisorFailed
from cernvmcontroller.definitions import hardware
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.store import Actor, Store, machines

if TYPE_CHECKING:
    from cernvmapi.hardware import Hardware, HardwareChange
    from cernvmcontroller.definitions.definitions import Definitions
    from cernvmcontroller.machines.workshop import Workshop


class Fitting:
    """Changes hardware in machines' definitions; what libvirt changes in what runs is changed there too.

    Parameters
    ----------
    store
        Where the machines' rows are.
    workshop
        Knows the hosts.
    definitions
        Where each change is kept, with its author.
    """

    def __init__(self, store: Store, workshop: Workshop, definitions: Definitions) -> None:
        self._store = store
        self._shop = workshop
        self._definitions = definitions

    async def get(self, machine_id: str) -> Hardware:
        """Return what a machine is made of; `NotFound` before its first start."""
        now = await self._definitions.get(machine_id)
        return hardware.read(machine_id, now.xml, now.running)

    async def change(self, actor: Actor, machine_id: str, wanted: HardwareChange) -> Hardware:
        """Let a machine have other hardware: cables at once, everything else from its next start on.

        Raises
        ------
        NotFound
            It has no such disk or interface, or was never started.
        Invalid
            Libvirt does not accept it: the host has no TPM emulator, say.
        Conflict
            The machine's state does not allow it, or what runs could not be changed with the rest.
        """
        now = await self._definitions.get(machine_id)
        wanted_xml = hardware.changed(now.xml, wanted)
        if wanted_xml != now.xml:
            change = XmlChange(xml=wanted_xml, digest=now.digest, comment="hardware")
            await self._definitions.write(actor, machine_id, change)
        if now.running is not None:
            await self._plug(machine_id, now.running, wanted)
        return await self.get(machine_id)

    async def _plug(self, machine_id: str, running: str, wanted: HardwareChange) -> None:
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
        hypervisor = self._shop.inventory.link(row.host).hypervisor
        for interface in wanted.interfaces:
            device = hardware.plugged(running, interface)
            if device is None:
                continue
            try:
                await hypervisor.update_device(row.uuid, device)
            except WrongState:
                return  # it went off meanwhile: its next start has it
            except HypervisorFailed as error:
                raise Conflict(
                    "It counts from the machine's next start on; what runs could not be changed: "
                    f"{error.detail}"
                ) from error
