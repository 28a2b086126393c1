"""Endpoints of machines' definitions and hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmcontroller.web.endpoints.machines import mine

if TYPE_CHECKING:
    from cernvmapi.definitions import Definition, MachineXml, XmlChanged
    from cernvmapi.hardware import Hardware
    from cernvmapi.models import Page
    from cernvmcontroller.web.route import Exchange


async def get_machine_xml(exchange: Exchange) -> MachineXml:
    """Answer with what libvirt has."""
    machine = await mine(exchange)
    return await exchange.engine.definitions.get(machine.id)


async def put_machine_xml(exchange: Exchange) -> XmlChanged:
    """Write another."""
    machine = await mine(exchange)
    return await exchange.engine.definitions.write(exchange.actor, machine.id, exchange.body)


async def reset_machine_xml(exchange: Exchange) -> XmlChanged:
    """Bring the hub's own back."""
    machine = await mine(exchange)
    return await exchange.engine.definitions.reset(exchange.actor, machine.id)


async def list_definitions(exchange: Exchange) -> Page[Definition]:
    """Answer with the changes."""
    machine = await mine(exchange)
    return await exchange.only_page(exchange.engine.definitions.history(machine.id))


async def get_hardware(exchange: Exchange) -> Hardware:
    """Answer with what a machine is made of."""
    machine = await mine(exchange)
    return await exchange.engine.fitting.get(machine.id)


async def change_hardware(exchange: Exchange) -> Hardware:
    """Let a machine have other hardware."""
    machine = await mine(exchange)
    return await exchange.engine.fitting.change(exchange.actor, machine.id, exchange.body)
