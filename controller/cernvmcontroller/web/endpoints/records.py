"""Endpoints of operations, volumes and the audit record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import NotFound
from cernvmcontroller.web.endpoints.machines import hide_from_others, list_owner
from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmapi.models import AuditRecord, Operation, Page, Volume
    from cernvmcontroller.web.route import Exchange


async def _my_operation(exchange: Exchange) -> Operation:
    try:
        operation = await exchange.engine.operations.get(exchange.id)
    except NotFound:
        raise NotFound(f"There is no operation {exchange.id}.") from None
    hide_from_others(exchange, operation, "operation")
    return operation


async def list_operations(exchange: Exchange) -> Page[Operation]:
    """Answer with one page."""
    query = exchange.query
    return await exchange.engine.operations.page(
        owner=list_owner(exchange),
        status=tuple(query.status),
        subject=query.subject,
        limit=query.limit,
        cursor=query.cursor,
    )


async def get_operation(exchange: Exchange) -> Operation:
    """Answer with one operation, held back for a while if that is wished."""
    operation = await _my_operation(exchange)
    if exchange.query.wait:
        return await exchange.engine.operations.wait(operation.id, exchange.query.wait)
    return operation


async def cancel_operation(exchange: Exchange) -> Operation:
    """Ask an operation to end."""
    operation = await _my_operation(exchange)
    return await exchange.engine.operations.cancel(exchange.actor, operation.id)


async def _my_volume(exchange: Exchange) -> Volume:
    try:
        volume = await exchange.engine.volumes.get(exchange.id)
    except NotFound:
        raise NotFound(f"There is no volume {exchange.id}.") from None
    hide_from_others(exchange, volume, "volume")
    return volume


async def list_volumes(exchange: Exchange) -> Page[Volume]:
    """Answer with one page."""
    query = exchange.query
    return await exchange.engine.volumes.page(
        owner=list_owner(exchange), kind=query.kind, limit=query.limit, cursor=query.cursor
    )


async def get_volume(exchange: Exchange) -> Volume:
    """Answer with one volume."""
    return await _my_volume(exchange)


async def change_volume(exchange: Exchange) -> Volume:
    """Hand a home over."""
    volume = await _my_volume(exchange)
    return await exchange.engine.volumes.change(exchange.actor, volume.id, exchange.body)


async def delete_volume(exchange: Exchange) -> Reply:
    """Delete a volume."""
    volume = await _my_volume(exchange)
    await exchange.engine.volumes.delete(exchange.actor, volume.id)
    return Reply(None)


async def list_audit(exchange: Exchange) -> Page[AuditRecord]:
    """Answer with one page."""
    query = exchange.query
    return await exchange.engine.audit.page(
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        limit=query.limit,
        cursor=query.cursor,
    )
