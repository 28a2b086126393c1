"""What may be asked of a machine, and when: pure rules, the same for the API and for the user interface."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cernvmapi.consoles import ConsoleKind
from cernvmapi.errors import Conflict, HostUnreachable
from cernvmapi.models import Power, Status, Target

if TYPE_CHECKING:
    from cernvmapi.models import MachineLock


class Action(StrEnum):
    """A verb on a machine."""

    START = "start"
    SHUTDOWN = "shutdown"
    POWEROFF = "poweroff"
    REBOOT = "reboot"
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    STORE = "store"
    LOCK = "lock"
    UNLOCK = "unlock"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    FORGET = "forget-snapshot"
    MOVE = "move"
    XML = "xml"
    DELETE = "delete"


@dataclass(frozen=True)
class Standing:
    """What decides which verbs are valid for a machine."""

    status: Status
    power: Power
    protected: bool = False
    lock: MachineLock | None = None
    moving_to: str | None = None
    stored: bool = False


_SNAPSHOTS = (Action.SNAPSHOT, Action.REVERT, Action.FORGET)
_NOT_WHILE_STORED = (*_SNAPSHOTS, Action.MOVE, Action.XML)
_WHILE_ON = (
    Action.SHUTDOWN,
    Action.POWEROFF,
    Action.REBOOT,
    Action.RESET,
    Action.SUSPEND,
    Action.STORE,
    *_SNAPSHOTS,
    Action.MOVE,
    Action.XML,
)
_WHILE_MOVING = (Action.SHUTDOWN, Action.POWEROFF, Action.DELETE)
"""What breaks the move off first."""
_WHILE_PAUSED = (Action.SHUTDOWN, Action.POWEROFF, Action.REBOOT, Action.RESUME, Action.XML)
_NEW = (Action.START, Action.MOVE, Action.LOCK, Action.DELETE)
_OFF = (Action.START, *_SNAPSHOTS, Action.MOVE, Action.XML, Action.LOCK, Action.DELETE)

_VALID: dict[Status, tuple[Action, ...]] = {
    Status.PENDING: _NEW,
    Status.STARTING: (Action.SHUTDOWN, Action.POWEROFF, Action.DELETE),
    Status.RUNNING: (*_WHILE_ON, Action.LOCK, Action.DELETE),
    Status.STOPPING: (Action.POWEROFF, Action.DELETE),
    Status.STOPPED: _OFF,
    Status.FAILED: _OFF,
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
    Action.RESET: "reset",
    Action.SUSPEND: "suspended",
    Action.RESUME: "resumed",
    Action.STORE: "stored",
    Action.LOCK: "locked",
    Action.UNLOCK: "unlocked",
    Action.SNAPSHOT: "kept in a snapshot",
    Action.REVERT: "brought back to a snapshot",
    Action.FORGET: "rid of a snapshot",
    Action.MOVE: "moved",
    Action.XML: "given another definition",
    Action.DELETE: "deleted",
}


def _valid(machine: Standing) -> tuple[Action, ...]:
    if machine.lock is not None:
        return (Action.UNLOCK,)
    valid = _VALID[machine.status]
    if machine.moving_to is not None:
        return tuple(action for action in valid if action in _WHILE_MOVING)
    if machine.stored:
        valid = tuple(action for action in valid if action not in _NOT_WHILE_STORED)
    if machine.status is Status.RUNNING and machine.power is Power.PAUSED:
        return (*_WHILE_PAUSED, Action.LOCK, Action.DELETE)
    return valid


def actions(machine: Standing) -> list[str]:
    """Return the verbs that are valid now, in the order in which they are offered."""
    if machine.power is Power.UNKNOWN:
        return []
    valid = _valid(machine)
    return [action.value for action in valid if not (machine.protected and action is Action.DELETE)]


def check(action: Action, machine: Standing) -> bool:
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
        The machine's state, or its lock, does not allow it.
    """
    if machine.power is Power.UNKNOWN:
        raise HostUnreachable(
            f"The machine cannot be {_DOING[action]} now: its host does not answer, so what the machine does "
            "is unknown. Try again when the host is back."
        )
    if machine.lock is not None and action is not Action.UNLOCK:
        raise Conflict(f"The machine cannot be {_DOING[action]}: {_locked(machine.lock)}")
    if machine.moving_to is not None and action not in _WHILE_MOVING:
        raise Conflict(
            f"The machine cannot be {_DOING[action]} while it is moved to the host {machine.moving_to}: wait "
            "until it is there, or cancel that."
        )
    if machine.stored and action in _NOT_WHILE_STORED:
        raise Conflict(
            f"The machine cannot be {_DOING[action]}: its memory is stored on its host. Start it first."
        )
    if machine.protected and action is Action.DELETE:
        raise Conflict("The machine is protected from deletion; remove the protection first.")
    if action in _valid(machine):
        return True
    if action in _ANYWAY.get(machine.status, ()):
        return False
    if action is Action.UNLOCK:
        return False
    state = "paused" if machine.power is Power.PAUSED else machine.status.value
    raise Conflict(f"The machine cannot be {_DOING[action]} while it is {state}.")


def _locked(lock: MachineLock) -> str:
    why = f" ({lock.reason})" if lock.reason else ""
    return (
        f"{lock.author} locked it on {lock.at:%Y-%m-%d at %H:%M} UTC{why}. They, or an administrator, can "
        "unlock it."
    )


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
