"""Looking at machines that should run, or should not: what happened behind our back is found here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, HypervisorFailed, StartFailed
from cernvmapi.models import OperationStatus, Power, Status, Target
from cernvmcontroller.consoles.serial import readable
from cernvmcontroller.hypervisor import metadata
from cernvmcontroller.hypervisor.lifecycle import SAVED
from cernvmcontroller.machines import paused
from cernvmcontroller.machines.ledger import finish_operations, let_go
from cernvmcontroller.machines.stop import Ending, fail

if TYPE_CHECKING:
    from cernvmcontroller.guests.agentlink import AgentLink
    from cernvmcontroller.hypervisor.interface import DomainState, Hypervisor
    from cernvmcontroller.hypervisor.specs import MachineMetadata
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow

_log = structlog.get_logger(__name__)

_WHY: dict[str, str] = {
    "destroyed": "Somebody powered the machine off on its host, not through the hub. Start it again.",
    "crashed": "The machine crashed. The end of its console says more; start it again.",
    SAVED: "Somebody stored the machine's memory on its host, not through the hub. Start it: it goes on "
    "where it was.",
    "failed": "The host could not go on running the machine. Ask an administrator.",
}
_ELSE = "The machine is off, and the hub did not do it: its host may have been restarted. Start it again."
_GONE = (
    "The machine is not on its host any more, and the hub did not remove it. Start it again: its disk "
    "is used if that is still there."
)


async def look(shop: Workshop, row: MachineRow) -> None:
    """Compare a machine that should run with what its hypervisor says, and set right what differs."""
    host = shop.inventory.link(row.host)
    state = await host.hypervisor.domain(row.uuid)
    if state is None or state.power is Power.OFF:
        await _ended(shop, row, state)
        return
    if (row.power, row.unknown_since, row.attempts) != (state.power, None, 0):
        async with shop.ledger.change(row.id, status=Status.RUNNING) as (_, current):
            current.power, current.unknown_since, current.attempts = state.power, None, 0
    await retell(host.hypervisor, row, state)
    await paused.look(shop, row, state)
    link = shop.follow(row, host)
    if link is not None and row.notebook and link.connected:
        await _listen(shop, row, link)


async def settle(shop: Workshop, row: MachineRow) -> None:
    """See to it that a machine that should be off is: nobody but the hub starts machines of the hub."""
    if row.host is None:
        return
    host: HostLink = shop.inventory.link(row.host)
    state = await host.hypervisor.domain(row.uuid)
    if state is not None and state.power is not Power.OFF:
        _log.warning("the machine runs and should not; it is powered off", machine=row.id)
        await host.hypervisor.destroy(row.uuid)
    if state is not None:
        await retell(host.hypervisor, row, state)
    if row.power is not Power.OFF:
        async with shop.ledger.change(row.id, status=row.status) as (tx, current):
            await let_go(tx, current)


async def retell(hypervisor: Hypervisor, row: MachineRow, state: DomainState) -> None:
    """Have the domain say whose machine it is, where that changed since it was defined."""
    if state.metadata is not None and differs(row, state):
        await hypervisor.describe(row.uuid, _now(row, state.metadata))


def differs(row: MachineRow, state: DomainState) -> bool:
    """Return whether a domain says that its machine is another's than the database does."""
    told = state.metadata
    return told is not None and told.machine_id == row.id and _now(row, told) != told


def _now(row: MachineRow, told: MachineMetadata) -> MachineMetadata:
    return metadata.as_told(replace(told, owner=row.owner, server_name=row.server_name))


async def _ended(shop: Workshop, row: MachineRow, state: DomainState | None) -> None:
    """Write down that a machine is off although nobody asked the hub for it."""
    tail = shop.consoles.tail(row.id)
    await shop.leave(row.id)
    shop.sessions.forget(row.id)
    error: CernVMError | None
    if state is not None and state.reason == "shutdown":
        error = None  # the person in front of it, or its notebook server, ended it
    else:
        error = HypervisorFailed(_WHY.get(state.reason, _ELSE) if state else _GONE)
    async with shop.ledger.change(row.id, status=Status.RUNNING) as (tx, current):
        await let_go(tx, current)
        current.target = Target.STOPPED
        current.stored = state is not None and state.reason == SAVED
        current.status = Status.FAILED if error else Status.STOPPED
        current.error = error.problem() if error else None
        current.console_tail = (tail or None) if error else None
        await finish_operations(
            tx, current, OperationStatus.FAILED if error else OperationStatus.SUCCEEDED, error
        )
    _log.info("machine ended", machine=row.id, reason=state.reason if state else "gone")


async def _listen(shop: Workshop, row: MachineRow, link: AgentLink) -> None:
    """Act on what the agent of a running notebook machine says."""
    if link.state in {"exited", "failed"}:
        await _server_ended(shop, row, link)
        return
    held = shop.sessions.get(row.id)
    if held is not None and link.session != held.id:
        try:
            refused = await shop.deliver(row, link, held)
        except ConnectionError:
            return  # looked at again when the link is re-made
        if refused is not None:
            error = StartFailed(f"The machine did not take its session: {refused}")
            await fail(shop, row.id, error, status=Status.RUNNING, ending=Ending.POWER_CUT)
            return
        async with shop.ledger.change(row.id, status=Status.RUNNING) as (_, current):
            current.session_id, current.port, current.awaiting_session = held.id, held.session.port, False
    elif held is None and _its_session(row, link) != (row.session_id, row.awaiting_session):
        async with shop.ledger.change(row.id, status=Status.RUNNING) as (_, current):
            current.session_id, current.awaiting_session = _its_session(current, link)


def _its_session(row: MachineRow, link: AgentLink) -> tuple[str | None, bool]:
    """Return the id of the session that a machine has, and whether it waits for one."""
    known = row.session_id
    if known is None and link.state == "ready":
        known = link.session  # found again after the database was lost
    return known, link.session is None or link.session != known


async def _server_ended(shop: Workshop, row: MachineRow, link: AgentLink) -> None:
    """Bring a machine down whose notebook server ended: the hub takes it for stopped anyway."""
    code = link.exited.code if link.exited else None
    if code == 0:
        async with shop.ledger.change(row.id, status=Status.RUNNING) as (_, current):
            current.status, current.target, current.step = (
                Status.STOPPING,
                Target.STOPPED,
                Ending.ORDERLY.value,
            )
        shop.poke(row.id)
        return
    tail = link.exited.log_tail if link.exited else link.failed.log_tail if link.failed else ""
    said = f" with code {code}" if code is not None else ""
    error = StartFailed(
        f"The notebook server ended{said}. The end of its log says why; start it again.",
        errors=[{"log_tail": readable(tail.encode())}] if tail else None,
    )
    await fail(shop, row.id, error, status=Status.RUNNING, ending=Ending.ORDERLY)
