"""The way from any older form of the database to the newest, with Alembic.

A new migration is a module in ``versions``. After a change of `cernvmcontroller.store.tables`,
``python -m cernvmcontroller.store.migrations "What it does"`` writes it, to be read and corrected by hand.
Tests hold that the migrations lead to exactly what the tables say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cernvmcontroller.store.database import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; nothing of it is in a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, name: str) -> None:
    """Bring the database to the newest form, in the connection's transaction.

    Parameters
    ----------
    connection
        In a transaction that no other writer is in.
    name
        Of the database, for the error's sentence.

    Raises
    ------
    StoreError
        A newer program has changed the database already.
    """
    config = configuration(connection)
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise StoreError(
            f"The database {name} was made by a newer CernVM Hub (its form is {', '.join(sorted(unknown))}):"
            " update this program, or restore the backup from before the update."
        )
    command.upgrade(config, "head")
