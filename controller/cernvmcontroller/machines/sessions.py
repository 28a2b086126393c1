"""Sessions: the secrets of notebook servers, held in memory and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cernvmcontroller.naming import new_id

if TYPE_CHECKING:
    from cernvmapi.models import Session


@dataclass(frozen=True)
class Held:
    """A session and the id under which the agent knows it."""

    id: str
    session: Session = field(repr=False)


class Sessions:
    """What this process holds; a restarted controller holds none and asks for them again."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def put(self, machine: str, session: Session) -> Held:
        """Keep a session; the same content keeps its id, so that an agent changes nothing."""
        held = self._held.get(machine)
        if held is None or held.session != session:
            held = self._held[machine] = Held(new_id("s"), session)
        return held

    def get(self, machine: str) -> Held | None:
        """Return what is held for a machine."""
        return self._held.get(machine)

    def forget(self, machine: str) -> None:
        """Drop what is held for a machine."""
        self._held.pop(machine, None)
