"""Write the migration from the newest one to what the tables say now."""

import argparse
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from cernvmcontroller.store.migrations import configuration, upgrade


def write(message: str) -> None:
    """Compare the tables with a database at the newest migration, and write the difference.

    Parameters
    ----------
    message
        What the migration does, in a few words.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder, 'newest.sqlite')}")
        with engine.begin() as connection:
            upgrade(connection, "newest")
        with engine.begin() as connection:
            config = configuration(connection)
            steps = len(list(ScriptDirectory.from_config(config).walk_revisions()))
            command.revision(config, message=message, autogenerate=True, rev_id=f"{steps + 1:04}")
        engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("message", help="what the migration does, in a few words")
    write(parser.parse_args().message)
