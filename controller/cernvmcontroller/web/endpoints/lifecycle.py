"""Endpoints of machines that are suspended, reset, stored and locked, and of many machines at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.models import Page
from cernvmcontroller.web.endpoints.machines import accepted, mine, shown

if TYPE_CHECKING:
    from cernvmapi.lifecycle import BulkResult
    from cernvmapi.models import Machine
    from cernvmapi.snapshots import Snapshot
    from cernvmcontroller.web.route import Exchange, Reply


async def suspend_machine(exchange: Exchange) -> Reply:
    """Begin to suspend."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.lifecycle.suspend(exchange.actor, machine.id))


async def resume_machine(exchange: Exchange) -> Reply:
    """Begin to let go on."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.lifecycle.resume(exchange.actor, machine.id))


async def reset_machine(exchange: Exchange) -> Reply:
    """Begin to reset."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.lifecycle.reset(exchange.actor, machine.id))


async def store_machine(exchange: Exchange) -> Reply:
    """Begin to write the memory to the host's disk."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.lifecycle.store(exchange.actor, machine.id, exchange.body))


async def list_snapshots(exchange: Exchange) -> Page[Snapshot]:
    """Answer with what a machine was."""
    machine = await mine(exchange)
    return await exchange.only_page(exchange.engine.snapshots.all(machine.id))


async def take_snapshot(exchange: Exchange) -> Reply:
    """Begin to keep what a machine is."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.snapshots.take(exchange.actor, machine.id, exchange.body))


async def revert_machine(exchange: Exchange) -> Reply:
    """Begin to bring a machine back."""
    machine = await mine(exchange)
    name = exchange.body.snapshot
    return accepted(await exchange.engine.snapshots.revert(exchange.actor, machine.id, name))


async def delete_snapshot(exchange: Exchange) -> Reply:
    """Begin to forget a snapshot."""
    machine = await mine(exchange)
    name = exchange.query.name
    return accepted(await exchange.engine.snapshots.forget(exchange.actor, machine.id, name))


async def move_machine(exchange: Exchange) -> Reply:
    """Begin to move to another host."""
    machine = await mine(exchange)
    return accepted(await exchange.engine.moves.move(exchange.actor, machine.id, exchange.body))


async def lock_machine(exchange: Exchange) -> Machine:
    """Lock."""
    machine = await mine(exchange)
    return shown(exchange, await exchange.engine.lifecycle.lock(exchange.actor, machine.id, exchange.body))


async def unlock_machine(exchange: Exchange) -> Machine:
    """Unlock; an administrator undoes anybody's lock."""
    machine = await mine(exchange)
    unlocked = await exchange.engine.lifecycle.unlock(
        exchange.actor, machine.id, any_author=exchange.who.admin
    )
    return shown(exchange, unlocked)


async def act_on_machines(exchange: Exchange) -> Page[BulkResult]:
    """Do the same with many machines."""
    found = await exchange.engine.lifecycle.many(exchange.actor, exchange.body, exchange.only_owner)
    return Page(items=found, total=len(found))
