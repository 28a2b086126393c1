"""Tickets for consoles: the right to open one WebSocket, once and soon.

They are in this process' memory alone, and there as a hash: a restarted controller knows none.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cernvmapi.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmapi.consoles import ConsoleRequest

LIFETIME = 30.0
"""Seconds."""
MOST_OF_ONE = 16
"""Unused tickets that one user has at a time; the oldest is worth nothing when there is one more."""


@dataclass(frozen=True)
class Grant:
    """What a ticket is good for.

    Parameters
    ----------
    user
        Whose it is, as the audit record names them.
    ends
        In the clock's seconds.
    """

    user: str
    machine: str
    request: ConsoleRequest
    ends: float


class Tickets:
    """The tickets that were given out and not used yet.

    Parameters
    ----------
    lifetime
        Seconds.
    """

    def __init__(self, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic) -> None:
        self.lifetime = lifetime
        self._clock = clock
        self._grants: dict[bytes, Grant] = {}

    def issue(self, user: str, machine: str, request: ConsoleRequest) -> str:
        """Return a new ticket."""
        now = self._clock()
        self._grants = {key: grant for key, grant in self._grants.items() if grant.ends > now}
        own = [key for key, grant in self._grants.items() if grant.user == user]
        for key in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
            del self._grants[key]
        ticket = secrets.token_urlsafe(32)
        self._grants[_hash(ticket)] = Grant(user, machine, request, now + self.lifetime)
        return ticket

    def redeem(self, ticket: str, user: str, machine: str) -> ConsoleRequest:
        """Return what was asked for; whatever comes of it, the ticket is used.

        Raises
        ------
        Forbidden
            It is no ticket, was used, came too late, is another user's or for another machine. Which of these
            is not said.
        """
        grant = self._grants.pop(_hash(ticket), None)
        if grant is None or grant.ends <= self._clock() or (grant.user, grant.machine) != (user, machine):
            raise Forbidden(
                f"The console's ticket is not valid: each is good once, within {self.lifetime:g} seconds, "
                "for who asked for it. Ask for another one."
            )
        return grant.request


def _hash(ticket: str) -> bytes:
    return sha256(ticket.encode("utf-8", "replace")).digest()
