"""Which of several controllers is the active one: whoever holds a lock of the database, on PostgreSQL.

The lock is held by a connection of its own for the controller's life; the server gives it to a standby as
soon as that connection is gone, however it went. Each write looks, within its transaction and before anything
else, whether the lock is still held: who lost it writes nothing more, even before noticing.

With SQLite there is one controller, and the lock of its state folder says so.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from cernvmapi.errors import StoreUnavailable
from cernvmcontroller.store.database import Database
from cernvmcontroller.store.outage import Outages
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

_log = structlog.get_logger(__name__)

_KEY = 0x6365726E766E
"""Beside the writers' lock; advisory locks are of one database."""
_BEAT = 5.0
"""Seconds between two looks at the connection, and for each of them to be answered."""
_LOST = (
    "This controller lost its connection to the database, and with it the right to be the active one; "
    "another one may have taken over. It ends itself, machines run on. Start it again: it waits until it is "
    "its turn."
)


class Leadership:
    """The right to be the active controller.

    Parameters
    ----------
    pid
        Of the connection that holds the lock, at the database's server; None where there is no such lock.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.pid = pid
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Becomes the reason once it is lost."""

    async def check(self, connection: AsyncConnection) -> None:
        """Refuse a write of a controller that is not the active one any more.

        Raises
        ------
        StoreUnavailable
            It is not.
        """
        if self.pid is None:
            return
        held = await connection.scalar(
            text(
                "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = :pid AND granted"
                " AND (classid::bigint << 32 | objid::bigint) = :key)"
            ),
            {"pid": self.pid, "key": _KEY},
        )
        if not held:
            self._lose()
            raise StoreUnavailable(_LOST)

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(_LOST)

    async def watch(self, connection: AsyncConnection) -> None:
        """Notice that the connection with the lock is gone."""
        while True:
            await asyncio.sleep(_BEAT)
            try:
                async with asyncio.timeout(_BEAT):
                    await connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError, TimeoutError):
                self._lose()
                return


@asynccontextmanager
async def lead(url: str) -> AsyncIterator[Leadership]:
    """Wait until this controller is the active one, and yield that right.

    Parameters
    ----------
    url
        Of the database, as for `Store.open`.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    database = Database(url)
    try:
        if database.dialect != "postgresql":
            yield Leadership()
            return
        with Outages(database.name).noticed("write", connecting=True):
            connection = await database.writing.connect()
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            with Outages(database.name).noticed("write"):
                found = await _take(connection)
            watching = asyncio.create_task(found.watch(connection), name="leadership")
            try:
                yield found
            finally:
                await end([watching])
        finally:
            # Not given back to a pool: the lock goes with the connection.
            with suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
            await connection.close()
    finally:
        await database.close()


async def _take(connection: AsyncConnection) -> Leadership:
    if not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY}):
        _log.info("standby: another controller is the active one; this one takes over when it ends")
        await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _KEY})
        _log.info("this controller is the active one now")
    return Leadership(int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0))
