"""What may be asked of a machine, and when: pure rules, the same for the API and for the user interface."""

from __future__ import annotations

from enum import StrEnum

from cernvmapi.consoles import ConsoleKind
from cernvmapi.errors import Conflict, HostUnreachable
from cernvmapi.models import Power, Status, Target


class Action(StrEnum):
    """A verb on a machine."""

    START = "start"
    SHUTDOWN = "shutdown"
    POWEROFF = "poweroff"
    REBOOT = "reboot"
    DELETE = "delete"


_VALID: dict[Status, tuple[Action, ...]] = {
    Status.PENDING: (Action.START, Action.DELETE),
    Status.STARTING: (Action.SHUTDOWN, Action.POWEROFF, Action.DELETE),
    Status.RUNNING: (Action.SHUTDOWN, Action.POWEROFF, Action.REBOOT, Action.DELETE),
    Status.STOPPING: (Action.POWEROFF, Action.DELETE),
    Status.STOPPED: (Action.START, Action.DELETE),
    Status.FAILED: (Action.START, Action.DELETE),
    Status.DELETING: (),
}

_ANYWAY: dict[Status, tuple[Action, ...]] = {
    Status.STARTING: (Action.START,),
    Status.RUNNING: (Action.START,),
    Status.STOPPING: (Action.SHUTDOWN,),
    Status.STOPPED: (Action.SHUTDOWN, Action.POWEROFF),
    Status.PENDING: (Action.SHUTDOWN, Action.POWEROFF),
    Status.FAILED: (Action.SHUTDOWN, Action.POWEROFF),
    Status.DELETING: (Action.DELETE, Action.SHUTDOWN, Action.POWEROFF),
}
"""Verbs that are nothing to offer, and no error either: what they ask for is so, or is on its way."""

_DOING: dict[Action, str] = {
    Action.START: "started",
    Action.SHUTDOWN: "shut down",
    Action.POWEROFF: "powered off",
    Action.REBOOT: "rebooted",
    Action.DELETE: "deleted",
}


def actions(status: Status, power: Power, *, protected: bool = False) -> list[str]:
    """Return the verbs that are valid now, in the order in which they are offered."""
    if power is Power.UNKNOWN:
        return []
    return [action.value for action in _VALID[status] if not (protected and action is Action.DELETE)]


def check(action: Action, status: Status, power: Power, *, protected: bool = False) -> bool:
    """Refuse a verb that is not possible now.

    Returns
    -------
    bool
        Whether there is anything to do; False where the machine is already there or on its way.

    Raises
    ------
    HostUnreachable
        What the machine does is unknown, so nothing may be concluded and nothing done.
    Conflict
        The machine's state does not allow it.
    """
    if power is Power.UNKNOWN:
        raise HostUnreachable(
            f"The machine cannot be {_DOING[action]} now: its host does not answer, so what the machine does "
            "is unknown. Try again when the host is back."
        )
    if protected and action is Action.DELETE:
        raise Conflict("The machine is protected from deletion; remove the protection first.")
    if action in _VALID[status]:
        return True
    if action in _ANYWAY.get(status, ()):
        return False
    raise Conflict(f"The machine cannot be {_DOING[action]} while it is {status.value}.")


def check_shown(kind: ConsoleKind | None, status: Status, target: Target, power: Power) -> None:
    """Refuse a console that cannot be shown now.

    Parameters
    ----------
    kind
        None: the screen, for one picture, or the keyboard.

    Raises
    ------
    HostUnreachable
        Whether the machine runs is unknown.
    Conflict
        It is off. While it starts, or starts again, its serial console can be waited for.
    """
    if power is Power.UNKNOWN:
        raise HostUnreachable(
            "The machine's host does not answer, so nothing of it can be shown. Try again when the host is "
            "back."
        )
    coming = target is Target.RUNNING and status in (Status.STARTING, Status.STOPPING)
    if power is Power.OFF and not (kind is ConsoleKind.SERIAL and coming):
        raise Conflict(f"The machine does not run, it is {status.value}; start it first.")
