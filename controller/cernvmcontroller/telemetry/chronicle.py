"""Tells how starts and other operations went, from the events that everybody else may follow too.

So the steps themselves know nothing of it, and what is counted is what was written down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cernvmapi.models import Machine, Operation, OperationStatus, PhaseMark, Status
from cernvmcontroller.events import RESET

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cernvmapi.models import Event
    from cernvmcontroller.events import EventLog
    from cernvmcontroller.telemetry.measures import Measures

TYPES = frozenset({"machine.changed", "machine.deleted", "operation.changed"})
_STARTS = frozenset({"machine.start", "machine.reboot"})
_OUTCOMES = {
    OperationStatus.SUCCEEDED: "ready",
    OperationStatus.FAILED: "failed",
    OperationStatus.CANCELLED: "cancelled",
}


@dataclass
class _Attempt:
    timeline: list[PhaseMark]
    ended: datetime | None = None


class Chronicle:
    """Follows the events; `run` does it for ever.

    Parameters
    ----------
    measures
        Is told.
    """

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._attempts: dict[str, _Attempt] = {}
        """The machines that start, by their subject."""

    async def run(self, events: EventLog) -> None:
        """Follow what happens from now on."""
        async for event in events.subscribe(types=TYPES):
            self.take(event)

    def take(self, event: Event) -> None:
        """Take note of one event."""
        match event.type:
            case "machine.changed":
                self._machine(event.subject, msgspec.convert(event.data, Machine))
            case "machine.deleted":
                self._attempts.pop(event.subject, None)
            case "operation.changed":
                self._operation(msgspec.convert(event.data, Operation))
            case str(kind) if kind == RESET:
                self._attempts.clear()

    def _machine(self, subject: str, machine: Machine) -> None:
        if machine.status is Status.STARTING:
            self._attempts[subject] = _Attempt(machine.timeline)
        elif subject in self._attempts and self._attempts[subject].ended is None:
            # What is undone after that is no part of the phase.
            self._attempts[subject].ended = machine.changed

    def _operation(self, operation: Operation) -> None:
        if operation.finished is None:
            return
        seconds = (operation.finished - operation.created).total_seconds()
        self._measures.operation_ended(operation.action, operation.status.value, seconds)
        attempt = self._attempts.pop(operation.subject, None) if operation.action in _STARTS else None
        if attempt is not None:
            self._measures.start_ended(
                _OUTCOMES[operation.status],
                operation.error.code if operation.error else "",
                phases(attempt.timeline, attempt.ended or operation.finished),
            )


def phases(timeline: Sequence[PhaseMark], ended: datetime) -> list[tuple[str, float]]:
    """Return the phases that were reached and the seconds that each lasted, the last one up to `ended`."""
    until = [mark.at for mark in timeline[1:]] + [ended]
    return [
        (mark.phase.value, max(0.0, (end - mark.at).total_seconds()))
        for mark, end in zip(timeline, until, strict=False)
    ]
