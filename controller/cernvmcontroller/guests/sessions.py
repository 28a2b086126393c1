"""Sessions: the secrets of notebook servers, held in memory and nowhere else."""

from __future__ import annotations

import asyncio
from collections import defaultdict
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
        self._awaited: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def put(self, machine: str, session: Session) -> Held:
        """Keep a session; the same content keeps its id, so that an agent changes nothing."""
        held = self._held.get(machine)
        if held is None or held.session != session:
            held = self._held[machine] = Held(new_id("s"), session)
        if machine in self._awaited:
            self._awaited[machine].set()
        return held

    async def arrival(self, machine: str, seconds: float) -> bool:
        """Wait until a session is held for a machine; return whether one is."""
        if machine not in self._held:
            try:
                async with asyncio.timeout(seconds):
                    await self._awaited[machine].wait()
            except TimeoutError:
                pass
            finally:
                self._awaited.pop(machine, None)
        return machine in self._held

    def get(self, machine: str) -> Held | None:
        """Return what is held for a machine."""
        return self._held.get(machine)

    def forget(self, machine: str) -> None:
        """Drop what is held for a machine."""
        self._held.pop(machine, None)
