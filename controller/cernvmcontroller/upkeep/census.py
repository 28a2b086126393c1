"""Whether the database knows all machines: a new one does when every host was compared with it once.

A database that was lost is new at the next start, while machines run. Until the hosts have told of them, a
list would lack machines that run, and who reads it (the hub, for one) would take them for gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from cernvmapi.errors import Busy
from cernvmcontroller.store import Actor, Store
from cernvmcontroller.store.tables import MetaRow

if TYPE_CHECKING:
    from collections.abc import Collection

_KEY = "hosts.compared"
"""Row of `MetaRow`: the hosts compared so far; `_ALL` for good when these were all that were configured."""
_ALL: Literal["all"] = "all"


class Census:
    """Which hosts told the database of their machines since it was made.

    Parameters
    ----------
    store
        Where that is remembered.
    hosts
        The configured ones.
    """

    def __init__(self, store: Store, hosts: Collection[str]) -> None:
        self._store = store
        self._hosts = frozenset(hosts)
        self._compared: frozenset[str] = frozenset()
        self._complete = False

    @property
    def missing(self) -> list[str]:
        """The hosts whose machines may not be known; a host added to a complete database is none of them."""
        return [] if self._complete else sorted(self._hosts - self._compared)

    async def load(self) -> None:
        """Read what an earlier controller found out."""
        async with self._store.read() as session:
            row = await session.get(MetaRow, _KEY)
        known = msgspec.json.decode(row.value, type=Literal["all"] | list[str]) if row else []
        if known == _ALL:
            self._complete = True
        else:
            self._compared = frozenset(known)
            await self._note()

    async def add(self, host: str) -> None:
        """Take over that the database has all machines of a host."""
        if not self._complete and host not in self._compared:
            self._compared |= {host}
            await self._note()

    async def _note(self) -> None:
        if not self._compared:
            return
        complete = self._compared >= self._hosts
        value = msgspec.json.encode(_ALL if complete else sorted(self._compared)).decode()
        async with self._store.write(Actor.system(), "hosts.compared", "hosts", audit=False) as tx:
            await tx.session.merge(MetaRow(key=_KEY, value=value))
        self._complete = complete

    def check(self) -> None:
        """Raise `Busy` while machines may run that the database does not know."""
        if self.missing:
            raise Busy(self.reason())

    def reason(self) -> str:
        """Return what is missing and what to do, empty when nothing is."""
        if not self.missing:
            return ""
        return (
            "The database is new and not all hosts have answered yet: the machines of "
            f"{', '.join(self.missing)} are not known. Start what does not answer, or take it out of the "
            "configuration."
        )
