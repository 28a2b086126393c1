"""Endpoints of the machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cernvmapi.errors import Forbidden, NotFound
from cernvmcontroller.machines.actions import Action
from cernvmcontroller.web.identity import Access, Identity, Kind
from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmapi.models import Machine, MachineCreate, Operation, Page
    from cernvmcontroller.web.route import Exchange


_FOR_ADMINISTRATORS = frozenset({Action.MOVE.value, Action.XML.value})
"""Actions that are about hosts, which only administrators see."""


def list_owner(exchange: Exchange) -> str | None:
    """Return the owner whose things a list shows."""
    asked: str | None = exchange.query.owner
    if exchange.only_owner is None:
        return asked
    if asked is not None and asked != exchange.only_owner:
        raise Forbidden("Only an administrator can list what belongs to somebody else.")
    return exchange.only_owner


def hide_from_others(exchange: Exchange, thing: Any, what: str) -> None:
    """Raise `NotFound` where the caller may not even know that `thing` exists."""
    if exchange.only_owner is not None and thing.owner != exchange.only_owner:
        raise NotFound(f"There is no {what} {exchange.id}.")


async def mine(exchange: Exchange) -> Machine:
    """Return the machine that a request is about; `NotFound` where the caller may not see it."""
    try:
        machine = await exchange.engine.machines.get(exchange.id)
    except NotFound:
        # The same words for all that one may not see.
        raise NotFound(f"There is no machine {exchange.id}.") from None
    hide_from_others(exchange, machine, "machine")
    return machine


def shown(exchange: Exchange, machine: Machine) -> Machine:
    """Return the machine with the actions that the caller may take."""
    return msgspec.structs.replace(machine, actions=offered(exchange.who, machine.actions))


def offered(who: Identity, actions: list[str]) -> list[str]:
    """Return those of the valid actions that somebody may take."""
    if not Access.WRITE.allows(who):
        return []
    return [action for action in actions if who.admin or action not in _FOR_ADMINISTRATORS]


def accepted(operation: Operation) -> Reply:
    """Answer with an operation that was begun, and where it is."""
    return Reply(operation, headers={"Location": f"../../operations/{operation.id}"})


async def list_machines(exchange: Exchange) -> Page[Machine]:
    """Answer with one page."""
    query = exchange.query
    page = await exchange.engine.machines.page(
        owner=list_owner(exchange),
        status=tuple(query.status),
        host=query.host,
        cluster=query.cluster,
        search=query.search,
        sort=query.sort,
        limit=query.limit,
        cursor=query.cursor,
    )
    return msgspec.structs.replace(page, items=[shown(exchange, machine) for machine in page.items])


async def get_machine(exchange: Exchange) -> Machine:
    """Answer with one machine."""
    return shown(exchange, await mine(exchange))


def _owner(exchange: Exchange, request: MachineCreate) -> str | None:
    """Return who the owner will be, or refuse what only administrators and the hub may ask for."""
    who = exchange.who
    if not who.admin:
        if who.kind is not Kind.USER:
            raise Forbidden(
                "Machines belong to users; a service makes them with the scope of administrators."
            )
        if request.owner not in {None, who.name}:
            raise Forbidden("Only an administrator can make a machine for somebody else.")
        if request.host is not None or request.cluster is not None or request.host_labels:
            raise Forbidden("Only an administrator chooses the host; leave it out.")
        if (request.vcpus, request.memory_mib, request.home_mib) != (None, None, None):
            raise Forbidden("Only an administrator chooses another size than a flavor's; choose a flavor.")
        if request.owner_id is not None or request.adopt_home:
            raise Forbidden("Only the hub says whose account it is; leave owner_id and adopt_home out.")
        if request.notebook:
            raise Forbidden("Machines for notebooks are made by the hub: start a server there.")
        return who.name
    return request.owner or (who.name if who.kind is Kind.USER else None)


async def _refuse_hidden(exchange: Exchange, appliance_id: str | None) -> None:
    """Raise `NotFound` for an appliance that the caller's list does not have, in the same words for all."""
    if appliance_id is None or exchange.who.admin:
        return
    offered = [each.id for each in await exchange.engine.repository.appliances() if not each.hidden]
    if appliance_id not in offered:
        there = ", ".join(sorted(offered)) or "none"
        raise NotFound(f"There is no appliance {appliance_id}; there are {there}.")


async def create_machine(exchange: Exchange) -> Reply:
    """Make a machine, or answer with the one that is there already."""
    owner = _owner(exchange, exchange.body)
    await _refuse_hidden(exchange, exchange.body.appliance)
    request = msgspec.structs.replace(exchange.body, owner=owner)
    machine, new = await exchange.engine.machines.create(exchange.actor, request, owner)
    headers = {"Location": f"machines/{machine.id}"}
    return Reply(shown(exchange, machine), status=201 if new else 200, headers=headers)


def _only_the_hub(exchange: Exchange) -> None:
    if exchange.who.kind is not Kind.HUB:
        raise Forbidden("Only the hub gives a machine its notebook server's secrets: start a server there.")


async def start_machine(exchange: Exchange) -> Reply:
    """Begin a start."""
    if exchange.body.session is not None:
        _only_the_hub(exchange)
    machine = await mine(exchange)
    begin = exchange.engine.machines.start
    operation = await begin(exchange.actor, machine.id, exchange.body.session, discard=exchange.body.discard)
    return accepted(operation)


async def shutdown_machine(exchange: Exchange) -> Reply:
    """Begin a shutdown."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.machines.shutdown(exchange.actor, machine.id))


async def poweroff_machine(exchange: Exchange) -> Reply:
    """Begin to switch off."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.machines.poweroff(exchange.actor, machine.id))


async def reboot_machine(exchange: Exchange) -> Reply:
    """Begin a reboot."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.machines.reboot(exchange.actor, machine.id))


async def change_machine(exchange: Exchange) -> Machine:
    """Rename, relabel, hand over."""
    wish = exchange.body
    if not exchange.who.admin and (wish.owner, wish.server_name, wish.owner_id) != (None, None, None):
        raise Forbidden("Only the hub says whose a machine is and which server it serves.")
    if not exchange.who.admin and (wish.vcpus, wish.memory_mib) != (None, None):
        raise Forbidden("Only an administrator chooses a size; name one of the flavors.")
    machine = await mine(exchange)
    return shown(exchange, await exchange.engine.machines.change(exchange.actor, machine.id, wish))


async def delete_machine(exchange: Exchange) -> Reply:
    """Begin to delete."""
    machine = await mine(exchange)
    operation = await exchange.engine.machines.delete(exchange.actor, machine.id)
    return Reply(operation, headers={"Location": f"../operations/{operation.id}"})


async def put_machine_session(exchange: Exchange) -> Machine:
    """Hand over what a notebook server needs."""
    _only_the_hub(exchange)
    machine = await mine(exchange)
    return await exchange.engine.machines.put_session(exchange.actor, machine.id, exchange.body)


async def get_machine_console(exchange: Exchange) -> Any:
    """Answer with the end of the console's log."""
    machine = await mine(exchange)
    return await exchange.engine.machines.console(machine.id)
