"""A database that cannot be used for now: what its driver's errors mean, in sentences that say what to do.

Pure but for `Outages`, which remembers what went wrong last, until the same works again.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cernvmapi.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

Access = Literal["read", "write"]

_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("locked", "55P03"),
        (
            "is locked by another program for too long. End what uses it beside the controller (a backup, a "
            "database shell)"
        ),
    ),
    (("full", "53100"), "has no room left: its disk is full. Make room there"),
    (
        ("readonly", "read-only", "25006"),
        (
            "can only be read. Let the controller's account write it and its folder, or make it writable "
            "again where the server says so"
        ),
    ),
    (
        ("malformed", "not a database", "XX001", "XX002"),
        (
            "is damaged. Stop the controller, move the database's files away and start it again: machines "
            "and homes are found again on the hosts; or restore a backup"
        ),
    ),
    (("i/o", "unable to open", "58030"), "cannot be read from its disk. Look into the system's log"),
    (
        ("28000", "28P01", "3D000", "42501"),
        "does not let the controller in. Correct account and name in `database_url`",
    ),
    (("53300",), "has no connection left. Allow more connections, or end some"),
)
"""Parts of SQLite's messages, SQLSTATEs of PostgreSQL, and what they mean.

https://www.sqlite.org/rescode.html, https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

_AWAY = "does not answer. Start its server, or look into its log"

_FAULTS = (DBAPIError, PoolTimeout, PostgresError, ConnectionError)
_CONNECTING = (*_FAULTS, OSError, TimeoutError)
"""While a connection is made nothing else can raise these."""
_OURS = (IntegrityError, DataError, ProgrammingError)
"""What says something about a statement, not about the database."""


def meaning(error: BaseException, name: str) -> str | None:
    """Return what an error of the driver says about the database; None where it says something else.

    Parameters
    ----------
    error
        As it was raised.
    name
        Of the database, without its password.
    """
    if not isinstance(error, _CONNECTING):
        return None
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    signs = (str(state),) if state else (str(cause).casefold(),)
    for marks, words in _MEANINGS:
        if any(mark in sign for mark in marks for sign in signs):
            return f"The database {name} {words}; what was asked for was not done, try again then."
    if isinstance(error, _OURS):
        return None
    return f"The database {name} {_AWAY}; what was asked for was not done, try again then."


class Outages:
    """What went wrong with one database, by what could not be done.

    Parameters
    ----------
    name
        Of the database, without its password.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[Access, str] = {}

    @property
    def reason(self) -> str:
        """Why the database cannot be used now, as far as is known; empty when it can."""
        return self._known.get("read") or self._known.get("write") or ""

    @contextmanager
    def noticed(self, access: Access, *, connecting: bool = False) -> Iterator[None]:
        """Turn the driver's errors of the block into `StoreUnavailable`, and take note of them."""
        try:
            yield
        except StoreUnavailable as error:
            self._known[access] = error.detail
            raise
        except _CONNECTING as error:
            reason = meaning(error, self._name)
            if reason is None or not (connecting or isinstance(error, _FAULTS)):
                raise
            self._known[access] = reason
            raise StoreUnavailable(reason) from error

    def works(self, access: Access) -> None:
        """Take note that it worked."""
        self._known.pop(access, None)
        if access == "write":
            self._known.pop("read", None)
