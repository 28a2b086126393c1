"""Machines that are locked, stored, or suspended by the hub."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step up."""
    for column in (
        sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("stored", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("lock", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
    ):
        op.add_column("machines", column)
