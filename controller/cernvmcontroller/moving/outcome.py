"""Where a machine is after a move that ended somehow: a pure decision from what both hosts say.

A domain that comes in is let run only after the one that it is made from stands still, and whoever leads the
move says so to both (https://libvirt.org/migration.html). From that follows each row of the table.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from cernvmapi.models import Power
from cernvmcontroller.hypervisor.migration import MIGRATING

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import DomainState


class Silence(Enum):
    """A host that does not answer."""

    SILENT = "silent"


SILENT = Silence.SILENT


class Outcome(StrEnum):
    """What became of a move."""

    ARRIVED = "arrived"
    """The machine is on the other host."""
    STAYED = "stayed"
    """It goes on where it was; what there is of it on the other host may go."""
    STANDS = "stands"
    """It is where it was and stands still for a move that nobody leads any more: let it go on."""
    ENDED = "ended"
    """It is off on both."""
    OPEN = "open"
    """Only a host that does not answer knows."""


class Seen(StrEnum):
    """What matters of a domain here."""

    RUNS = "runs"
    WAITS = "waits"
    """It stands still because of a move."""
    OFF = "off"
    GONE = "gone"
    SILENT = "silent"


def seen(state: DomainState | Silence | None) -> Seen:
    """Return what matters of what a host says."""
    if isinstance(state, Silence):
        return Seen.SILENT
    if state is None:
        return Seen.GONE
    if state.power is Power.OFF:
        return Seen.OFF
    if state.power is Power.PAUSED and state.reason == MIGRATING:
        return Seen.WAITS
    return Seen.RUNS


def decide(here: Seen, there: Seen) -> Outcome:
    """Return where a machine is.

    Parameters
    ----------
    here
        On the host where it was.
    there
        On the host where it goes.
    """
    if here is Seen.RUNS:
        # What is on the other host was never let run: libvirt says "running" of it as it begins, too.
        return Outcome.STAYED
    if there is Seen.RUNS:
        return Outcome.ARRIVED  # it was let run only after the one here stood still for good
    if Seen.SILENT in (here, there):
        return Outcome.OPEN
    if here is Seen.WAITS:
        return Outcome.STANDS  # what is there was never let run
    if here is Seen.GONE and there is Seen.WAITS:
        return Outcome.ARRIVED  # the definition here goes last of all
    return Outcome.ENDED
