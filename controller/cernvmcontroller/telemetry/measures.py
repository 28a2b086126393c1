"""What the controller tells of its work as it happens, to whoever counts it: `cernvmcontroller.web.metrics`.

Labels are of few values: never a user, a machine or a request. Durations are in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Measures(Protocol):
    """Who counts."""

    def start_ended(self, outcome: str, reason: str, phases: Sequence[tuple[str, float]]) -> None:
        """Count a start.

        Parameters
        ----------
        outcome
            ``ready``, ``failed`` or ``cancelled``.
        reason
            The error's code; empty where there is none.
        phases
            Those that were reached, in their order, and how long each took.
        """

    def operation_ended(self, action: str, outcome: str, seconds: float) -> None:
        """Count an operation: ``machine.start``, …, and how it ended (`OperationStatus`)."""

    def called(self, host: str, verb: str, seconds: float, code: str) -> None:
        """Count a call to a host; `code` is the error's, empty where there was none."""

    def wrote(self, waited: float, seconds: float) -> None:
        """Count a write of the database: how long it waited for its turn, and how long it took."""


class Unmeasured:
    """Nobody counts."""

    def start_ended(self, outcome: str, reason: str, phases: Sequence[tuple[str, float]]) -> None:
        """Forget it."""

    def operation_ended(self, action: str, outcome: str, seconds: float) -> None:
        """Forget it."""

    def called(self, host: str, verb: str, seconds: float, code: str) -> None:
        """Forget it."""

    def wrote(self, waited: float, seconds: float) -> None:
        """Forget it."""
