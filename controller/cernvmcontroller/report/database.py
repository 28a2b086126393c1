"""What the database says, read as it is: also of another version, and while a controller writes it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST = 5000
"""Rows of a table."""

QUERIES = {
    "version": "SELECT * FROM alembic_version",
    "meta": "SELECT * FROM meta",
    "hosts": "SELECT * FROM hosts",
    "networks": "SELECT * FROM networks",
    "pools": "SELECT * FROM pools",
    "appliances": "SELECT id, title, version, sha256, size, agent_protocol FROM appliances",
    "machines": "SELECT * FROM machines ORDER BY changed DESC",
    "volumes": "SELECT kind, pool, count(*) AS number FROM volumes GROUP BY kind, pool",
    "failed operations": "SELECT * FROM operations WHERE status = 'failed' ORDER BY created DESC",
    "running operations": "SELECT * FROM operations WHERE status = 'running'",
    "audit": "SELECT * FROM audit ORDER BY id DESC",
}
NAMES = (
    "SELECT owner FROM machines UNION SELECT server_name FROM machines UNION SELECT name FROM machines "
    "UNION SELECT owner FROM volumes UNION SELECT server_name FROM volumes "
    "UNION SELECT owner FROM operations UNION SELECT actor FROM operations UNION SELECT actor FROM audit"
)
_OURS = frozenset({"controller", "anonymous"})
_DERIVED = frozenset({"search_text", "name_key", "owner_key", "host_key"})
"""Columns that say again what others say."""
_LAST = 200
"""Rows of what only grows."""
_GROWING = frozenset({"failed operations", "audit"})


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection that cannot write; no database is made, or brought to another version."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        parsed = parsed.set(
            drivername="sqlite+aiosqlite",
            database=f"file:{quote(parsed.database or '')}",
            query={"mode": "ro", "uri": "true"},
        )
        engine = create_async_engine(parsed)
    else:
        engine = create_async_engine(
            parsed.set(drivername="postgresql+asyncpg"), execution_options={"postgresql_readonly": True}
        )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def contents(url: str) -> dict[str, Any]:
    """Return the rows of each query, or why there are none."""
    found: dict[str, Any] = {}
    for name, query in QUERIES.items():
        try:
            found[name] = await _rows(url, f"{query} LIMIT {_LAST if name in _GROWING else MOST}")
        except Exception as error:  # noqa: BLE001 - the other tables may be well
            found[name] = f"This could not be had: {type(error).__name__}: {error}"
    return found


async def people(url: str) -> set[str]:
    """Return the names of users, of their servers and of their machines."""
    names = {str(name) for row in await _rows(url, NAMES) for name in row.values() if name}
    return {name for name in names if name not in _OURS and not name.startswith("service:")}


async def _rows(url: str, query: str) -> list[dict[str, Any]]:
    async with reading(url) as connection:
        rows = (await connection.execute(text(query))).mappings()
        return [{name: row[name] for name in row if name not in _DERIVED} for row in rows]
