"""What is done to a machine at once: suspended, resumed, reset; kept in a snapshot, and brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, HypervisorFailed, NotFound
from cernvmapi.models import OperationStatus, Power, Status
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.machines import paused
from cernvmcontroller.machines.actions import Action
from cernvmcontroller.machines.ledger import finish_operations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cernvmapi.errors import CernVMError
    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.machines.workshop import Workshop
    from cernvmcontroller.store.tables import MachineRow

_PREFIX = "do:"
_VERBS: dict[Action, Callable[[Hypervisor, str, str], Awaitable[None]]] = {
    Action.SUSPEND: lambda hypervisor, uuid, _: hypervisor.suspend(uuid),
    Action.RESUME: lambda hypervisor, uuid, _: hypervisor.resume(uuid),
    Action.RESET: lambda hypervisor, uuid, _: hypervisor.reset(uuid),
    Action.SNAPSHOT: lambda hypervisor, uuid, name: hypervisor.take_snapshot(uuid, name),
    Action.REVERT: lambda hypervisor, uuid, name: hypervisor.revert(uuid, name),
    Action.FORGET: lambda hypervisor, uuid, name: hypervisor.delete_snapshot(uuid, name),
}
_WENT_ON = (Action.RESUME, Action.REVERT)
"""After them the machine's clock is behind."""


def step(action: Action, name: str = "") -> str:
    """Return what a row's `step` says until the action is done; `name` is that of a snapshot."""
    return f"{_PREFIX}{action.value}:{name}" if name else f"{_PREFIX}{action.value}"


def asked(row: MachineRow) -> tuple[Action, str] | None:
    """Return what a machine's row says that is to be done, and with which snapshot; None for nothing."""
    if not row.step or not row.step.startswith(_PREFIX):
        return None
    verb, _, name = row.step.removeprefix(_PREFIX).partition(":")
    return Action(verb), name


async def do(shop: Workshop, row: MachineRow, action: Action, name: str) -> None:
    """Do it and write down that it is done; a machine that went off meanwhile is looked at next."""
    hypervisor = shop.inventory.link(row.host).hypervisor
    error: CernVMError | None = None
    try:
        await _VERBS[action](hypervisor, row.uuid, name)
    except WrongState as wrong:
        error = Conflict(
            f"{wrong.detail} Start the machine, or power it off, first."
            if action is Action.REVERT
            else "The machine went off meanwhile."
        )
    except (HypervisorFailed, NotFound) as failure:
        error = failure
    if error is None and action in _WENT_ON and row.status is Status.RUNNING:
        await paused.went_on(shop, row)
    state = await hypervisor.domain(row.uuid)
    async with shop.ledger.change(row.id, status=row.status) as (tx, current):
        current.step = None
        if error is None and action in (Action.SUSPEND, Action.RESUME):
            current.suspended = action is Action.SUSPEND
        if state is not None and state.power is not Power.OFF and row.status is Status.RUNNING:
            current.power = state.power
        status = OperationStatus.FAILED if error else OperationStatus.SUCCEEDED
        await finish_operations(tx, current, status, error)
    shop.poke(row.id)
