"""What is done to a running machine at once: it is suspended, resumed, reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, HypervisorFailed
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
_VERBS: dict[Action, Callable[[Hypervisor], Callable[[str], Awaitable[None]]]] = {
    Action.SUSPEND: lambda hypervisor: hypervisor.suspend,
    Action.RESUME: lambda hypervisor: hypervisor.resume,
    Action.RESET: lambda hypervisor: hypervisor.reset,
}


def step(action: Action) -> str:
    """Return what a row's `step` says until the action is done."""
    return f"{_PREFIX}{action.value}"


def asked(row: MachineRow) -> Action | None:
    """Return what a running machine's row says that is to be done; None for nothing."""
    return Action(row.step.removeprefix(_PREFIX)) if row.step and row.step.startswith(_PREFIX) else None


async def do(shop: Workshop, row: MachineRow, action: Action) -> None:
    """Do it and write down that it is done; a machine that went off meanwhile is looked at next."""
    hypervisor = shop.inventory.link(row.host).hypervisor
    error: CernVMError | None = None
    try:
        await _VERBS[action](hypervisor)(row.uuid)
    except WrongState:
        error = Conflict("The machine went off meanwhile.")
    except HypervisorFailed as failure:
        error = failure
    if error is None and action is Action.RESUME:
        await paused.went_on(shop, row)
    state = await hypervisor.domain(row.uuid)
    async with shop.ledger.change(row.id, status=Status.RUNNING) as (tx, current):
        current.step = None
        if error is None:
            current.suspended = action is Action.SUSPEND
        if state is not None and state.power is not Power.OFF:
            current.power = state.power
        status = OperationStatus.FAILED if error else OperationStatus.SUCCEEDED
        await finish_operations(tx, current, status, error)
    shop.poke(row.id)
