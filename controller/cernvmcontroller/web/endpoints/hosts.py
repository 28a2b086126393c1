"""Endpoints that attach, test, change and detach hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.models import Page
from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmapi.hosts import HostReport, Proposal, SeenDomain
    from cernvmapi.models import Host, Operation
    from cernvmcontroller.web.route import Exchange


async def try_host(exchange: Exchange) -> HostReport:
    """Try a connection and keep nothing of it."""
    return await exchange.engine.hosts.test(exchange.body)


async def attach_host(exchange: Exchange) -> Reply:
    """Take a host in."""
    host = await exchange.engine.hosts.attach(exchange.actor, exchange.body)
    return Reply(host, headers={"Location": f"hosts/{host.id}"})


async def look_at_host(exchange: Exchange) -> HostReport:
    """Answer with what there is on a host now."""
    return await exchange.engine.hosts.look(exchange.id)


async def change_host(exchange: Exchange) -> Host:
    """Change a host."""
    return await exchange.engine.hosts.change(exchange.actor, exchange.id, exchange.body)


async def list_domains(exchange: Exchange) -> Page[SeenDomain]:
    """Answer with all domains of a host, foreign ones too."""
    return await exchange.only_page(exchange.engine.hosts.domains(exchange.id))


async def drain_host(exchange: Exchange) -> Reply:
    """Begin to move all machines away."""
    operation = await exchange.engine.drains.drain(exchange.actor, exchange.id, exchange.body)
    return Reply(operation, headers={"Location": f"../../operations/{operation.id}"})


async def evacuate_host(exchange: Exchange) -> Operation:
    """Start the machines of a dead host elsewhere."""
    return await exchange.engine.evacuation.evacuate(exchange.actor, exchange.id, exchange.body)


async def propose_moves(exchange: Exchange) -> Page[Proposal]:
    """Answer with moves that would even the hosts."""
    found = await exchange.engine.moves.propose(exchange.query.cluster)
    return Page(items=found, total=len(found))


async def detach_host(exchange: Exchange) -> Reply:
    """Let a host go."""
    await exchange.engine.hosts.detach(exchange.actor, exchange.id, forget=exchange.query.forget)
    return Reply(None)
