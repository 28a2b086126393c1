"""Run by Alembic, in the connection and the transaction that `upgrade` was given."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Enum

from cernvmcontroller.store import definitions, usagetables  # noqa: F401 - their tables are part of it
from cernvmcontroller.store.columns import Instant, Record
from cernvmcontroller.store.tables import Table


def render(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """Write a migration with the database's own types: the program's may change, what was done may not."""
    if kind == "type":
        if isinstance(item, Instant):
            return "sa.DateTime(timezone=True)"
        if isinstance(item, Record):
            autogen.imports.add("from sqlalchemy.dialects import postgresql")
            return "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')"
        if isinstance(item, Enum):
            return f"sa.String(length={item.length})"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    transactional_ddl=True,  # SQLite's too: the store begins its transactions itself
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
