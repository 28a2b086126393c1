"""Homes go with accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step up."""
    op.add_column("volumes", sa.Column("owner_id", sa.String(length=255), nullable=True))
    op.create_index(op.f("ix_volumes_owner_id"), "volumes", ["owner_id"], unique=False)
