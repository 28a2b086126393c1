"""Machines' hardware as the API sees it: what they are made of, and what they shall be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.definitions import XmlChange
from cernvmapi.errors import Conflict, HypervisorFailed
from cernvmcontroller.definitions import hardware
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.machines.actions import Action, check
from cernvmcontroller.machines.ledger import standing
from cernvmcontroller.store import Actor, Store, machines

if TYPE_CHECKING:
    from cernvmapi.hardware import Hardware, HardwareChange
    from cernvmcontroller.definitions.definitions import Definitions
    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow


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
        hypervisor, _ = await self._place(machine_id)
        offers = await hypervisor.offers(hardware.kind(now.xml))
        return hardware.read(machine_id, now.xml, now.running, offers)

    async def change(self, actor: Actor, machine_id: str, wanted: HardwareChange) -> Hardware:
        """Let a machine have other hardware: cables at once, everything else from its next start on.

        Raises
        ------
        NotFound
            It has no such disk or interface, or was never started.
        Invalid
            Libvirt does not accept it.
        Conflict
            The machine's state does not allow it, its host does not have it, or what runs could not be
            changed with the rest.
        """
        now = await self._definitions.get(machine_id)
        hypervisor, row = await self._place(machine_id)
        check(Action.XML, standing(row))
        hardware.refuse(wanted, await hypervisor.offers(hardware.kind(now.xml)))
        wanted_xml = hardware.changed(now.xml, wanted)
        if wanted_xml != now.xml:
            change = XmlChange(xml=wanted_xml, digest=now.digest, comment="hardware")
            await self._definitions.write(actor, machine_id, change)
        if now.running is not None:
            await self._plug(hypervisor, row.uuid, now.running, wanted)
        return await self.get(machine_id)

    async def _place(self, machine_id: str) -> tuple[Hypervisor, MachineRow]:
        async with self._store.read() as session:
            row = await machines.get(session, machine_id)
        return self._shop.inventory.link(row.host).hypervisor, row

    async def _plug(self, hypervisor: Hypervisor, uuid: str, running: str, wanted: HardwareChange) -> None:
        for interface in wanted.interfaces:
            device = hardware.plugged(running, interface)
            if device is None:
                continue
            try:
                await hypervisor.update_device(uuid, device)
            except WrongState:
                return  # it went off meanwhile: its next start has it
            except HypervisorFailed as error:
                raise Conflict(
                    "It counts from the machine's next start on; what runs could not be changed: "
                    f"{error.detail}"
                ) from error
