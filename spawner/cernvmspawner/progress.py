"""From what is known of a machine to the events of JupyterHub's progress page: pure functions."""

from __future__ import annotations

from typing import Any

from markupsafe import escape

from cernvmapi.models import Machine, Phase, PhaseMark, Status

ALMOST = 99
"""Percent at most: the hub itself says 100 when the server is reachable through the proxy."""

ENDED = frozenset({Status.RUNNING, Status.FAILED, Status.STOPPED, Status.DELETING})


def event(message: str, progress: int | None = None) -> dict[str, Any]:
    """Return a progress event; `message` may hold anything, it is escaped."""
    made: dict[str, Any] = {"message": message, "html_message": str(escape(message))}
    if progress is not None:
        made["progress"] = max(0, min(progress, ALMOST))
    return made


def event_of(mark: PhaseMark, machine: Machine) -> dict[str, Any]:
    """Return the event for a phase that was reached."""
    message = mark.message
    made = event(message, mark.progress)
    if mark.phase is Phase.PLACED and machine.acceleration == "qemu":
        # People who know what to expect do not give up on a slow start.
        hint = "This host emulates the processor, so the start takes a minute or more."
        message = message if message.endswith((".", "!", "…")) else f"{message}."
        made["message"] = f"{message} {hint}"
        made["html_message"] = f"{escape(message)} <small>{escape(hint)}</small>"
    return made


def news(machine: Machine, before: Machine | None) -> list[dict[str, Any]]:
    """Return the events for what is new in `machine` since it was `before`.

    A phase keeps its instant while its message and its progress change (a download, or a boot after the
    switching on): each change is news.
    """
    told = before.timeline if before else []
    return [event_of(mark, machine) for mark in machine.timeline if mark not in told]


def ended(machine: Machine | None, since: int) -> bool:
    """Tell whether nothing more is to be expected of a start that began after revision `since`."""
    return machine is None or (machine.revision > since and machine.status in ENDED)
