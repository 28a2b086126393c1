"""Endpoints of consoles: tickets, screenshots and keys. The socket is `cernvmcontroller.web.socket`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cernvmapi.consoles import ConsoleTicket
from cernvmcontroller.web.endpoints.machines import mine
from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmcontroller.web.route import Exchange

SCREENSHOT = "image/png"


async def open_console(exchange: Exchange) -> ConsoleTicket:
    """Give a ticket for a console's socket."""
    machine = await mine(exchange)
    request = exchange.body
    await exchange.engine.screens.check(machine.id, request.kind)
    tickets = exchange.services.tickets
    return ConsoleTicket(
        ticket=tickets.issue(exchange.who.label, machine.id, request),
        socket=f"/machines/{machine.id}/console/socket",
        kind=request.kind,
        view_only=request.view_only,
        expires=datetime.now(UTC) + timedelta(seconds=tickets.lifetime),
    )


async def get_screenshot(exchange: Exchange) -> bytes:
    """Answer with what is on the screen."""
    machine = await mine(exchange)
    return await exchange.engine.screens.screenshot(machine.id)


async def press_keys(exchange: Exchange) -> Reply:
    """Press keys."""
    machine = await mine(exchange)
    await exchange.engine.screens.press(exchange.actor, machine.id, exchange.body)
    return Reply(None)
