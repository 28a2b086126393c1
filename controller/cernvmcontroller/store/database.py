"""The two databases that the store runs on, set up alike.

SQLite (``sqlite+aiosqlite:////path``) for one machine, PostgreSQL (``postgresql+asyncpg://…``) for several.
On both a read sees one moment from its first query to its last, and a write excludes every other write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import in_greenlet

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_BUSY_MS = 10_000
"""How long SQLite waits for another process's write; this program's own writes wait in line before that."""

_CONNECT = 10
"""Seconds until a PostgreSQL server answers, or a connection to it is free."""

_WRITE = "cernvm_write"

_LOCK = 0x6365726E766D
"""Key of PostgreSQL's advisory lock (``cernvm`` in ASCII); such locks are of one database."""


class StoreError(Exception):
    """The database cannot be used as it is; the message says what to do."""


class Database:
    """Connections to one database.

    Parameters
    ----------
    url
        SQLAlchemy's; may have a password, which is never shown.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.dialect = parsed.get_backend_name()
        self.name = parsed.render_as_string(hide_password=True)
        if self.dialect == "sqlite":
            engine = _sqlite(parsed)
            self._reading: AsyncEngine = engine
            self._writing: AsyncEngine = engine.execution_options(**{_WRITE: True})
        elif self.dialect == "postgresql":
            engine = create_async_engine(
                parsed.set(drivername="postgresql+asyncpg"),
                pool_pre_ping=True,
                pool_timeout=_CONNECT,
                connect_args={"timeout": _CONNECT},
            )
            self._reading = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._writing = engine
        else:
            raise StoreError(f"The database {self.name} is neither SQLite nor PostgreSQL; use one of these.")
        self._engine = engine

    @property
    def reading(self) -> AsyncEngine:
        """For transactions that see one moment and write nothing."""
        return self._reading

    @property
    def writing(self) -> AsyncEngine:
        """For transactions that begin with `exclude`."""
        return self._writing

    async def exclude(self, connection: AsyncConnection) -> None:
        """Let no other writer in before this transaction's end, not even one of another process."""
        if self.dialect == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})

    async def count_from(self, connection: AsyncConnection, table: str, number: int) -> None:
        """Let the ids of a table without rows, whose ids the database counts, begin after a number."""
        statement = (
            "SELECT setval(pg_get_serial_sequence(:table, 'id'), :number)"
            if self.dialect == "postgresql"
            else "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"
        )
        await connection.execute(text(statement), {"table": table, "number": number})

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _sqlite(url: URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:" or url.query:
        raise StoreError("The SQLite database has to be a file: use sqlite:////absolute/path.sqlite.")
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The database holds who did what. SQLite gives its -wal and -shm files the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"The database {path} cannot be opened ({error.strerror}): let this account own it and its "
            "folder, and see to it that there is room on that disk."
        ) from None
    engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"))
    event.listen(engine.sync_engine, "connect", _configure)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "invalidate", _undo)
    return engine


def _configure(connection: Any, record: Any) -> None:
    del record
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a step is persisted before it is done, power cut or not
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once when somebody wrote in between.
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _undo(connection: Any, record: Any, error: BaseException | None) -> None:
    """End the transaction of a connection that is thrown away, as where a write is cancelled.

    Closing is not enough: SQLite keeps a closed connection, and its lock, as long as one of its cursors is
    referred to, which a traceback may do until the garbage is collected.
    """
    del record, error
    if in_greenlet():
        # Cancelled once more: the rollback is queued before the closing, and the first one goes on.
        with contextlib.suppress(asyncio.CancelledError, sqlite3.Error, ValueError):
            connection.rollback()
