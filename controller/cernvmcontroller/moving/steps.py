"""How far the move of a machine is: kept in `MachineRow.moving_step`, written before it is done."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The steps of a move."""

    PREPARE = "prepare"
    """What the machine needs is brought to the other host; it is where it was, whatever happens."""
    HAND_OVER = "hand-over"
    """From now on only both hosts together know where it is."""
    BREAK_OFF = "break-off"
    """Somebody wants it to stay."""
