"""Running machines that their host paused: why, how to go on, and going on by itself when there is room."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import HypervisorFailed
from cernvmapi.models import Power, Status
from cernvmcontroller.hypervisor.interface import WrongState

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import DomainState
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow

_log = structlog.get_logger(__name__)

ROOM = 64 * 1024 * 1024
"""Bytes that a pool has to have before a machine that found it full goes on."""

FULL = "ioerror"
"""Libvirt's reason where a write to the machine's disk failed, mostly for want of room."""

_WHY: dict[str, str] = {
    FULL: "The host paused the machine because its storage is full or failed. Nothing is lost: it goes on "
    "by itself when there is room; ask an administrator, or delete machines and homes that nobody needs.",
    "user": "Somebody paused the machine on its host, not through the hub. It goes on when they resume it; "
    "ask an administrator.",
}


def why(reason: str) -> str:
    """Return what a person reads of a paused machine, from libvirt's reason."""
    return _WHY.get(
        reason, f"The host paused the machine ({reason}). Ask an administrator, or power it off and start it."
    )


async def look(shop: Workshop, before: MachineRow, state: DomainState) -> None:
    """Look after a machine that is paused, or was when it was looked at last.

    Parameters
    ----------
    before
        The machine as it was before its power was compared with its host's.
    state
        What its host says.
    """
    if state.power is Power.PAUSED:
        await _explain(shop, before, state)
    elif before.power is Power.PAUSED or before.error is not None:
        await went_on(shop, before)


async def _explain(shop: Workshop, row: MachineRow, state: DomainState) -> None:
    if row.suspended and state.reason == "user":
        return  # the hub was asked to
    error = HypervisorFailed(why(state.reason)).problem()
    if row.error != error:
        _log.warning("the machine is paused", machine=row.id, reason=state.reason)
        async with shop.ledger.change(row.id, status=Status.RUNNING) as (_, current):
            current.error = error
    if state.reason == FULL and await _has_room(shop, row):
        _log.info("there is room again, the machine goes on", machine=row.id)
        with contextlib.suppress(WrongState):  # it was ended in between
            await shop.inventory.link(row.host).hypervisor.resume(row.uuid)


async def _has_room(shop: Workshop, row: MachineRow) -> bool:
    """Whether the pool has room; asked of the storage itself, for libvirt only remembers it."""
    host = shop.inventory.link(row.host)
    return (await host.hypervisor.ensure_pool(host.spec.pool)).available >= ROOM


async def went_on(shop: Workshop, row: MachineRow) -> None:
    """Take the explanation back, and set the clock that stood still."""
    link = shop.links.get(row.id)
    with contextlib.suppress(ConnectionError):
        if link is not None and link.connected:
            await link.tell_the_time()
    async with shop.ledger.change(row.id, status=Status.RUNNING) as (_, current):
        current.error, current.suspended = None, False
