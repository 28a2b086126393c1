"""How many look at consoles, and how many may."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cernvmapi.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_OF_A_MACHINE = 8
MOST_OF_A_USER = 32
MOST = 1024


class Viewers:
    """The viewings that are open."""

    def __init__(self) -> None:
        self._machines: Counter[str] = Counter()
        self._users: Counter[str] = Counter()

    @contextmanager
    def one(self, machine: str, user: str) -> Iterator[None]:
        """Count a viewing while the block runs.

        Raises
        ------
        Busy
            There are too many already.
        """
        for counted, most, of in (
            (self._machines[machine], MOST_OF_A_MACHINE, "this machine's"),
            (self._users[user], MOST_OF_A_USER, "your"),
            (self._machines.total(), MOST, "all"),
        ):
            if counted >= most:
                raise Busy(f"{most} of {of} consoles are open, which is all there may be. Close one of them.")
        self._machines[machine] += 1
        self._users[user] += 1
        try:
            yield
        finally:
            for counter, key in ((self._machines, machine), (self._users, user)):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
