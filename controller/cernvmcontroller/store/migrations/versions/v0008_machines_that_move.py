"""Machines that are being moved to another host, or get another size at their next start."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step up."""
    for column in (
        sa.Column("pending", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("moving_to", sa.String(64), nullable=True),
        sa.Column("moving_step", sa.String(16), nullable=True),
        sa.Column("moved_from", sa.String(64), nullable=True),
    ):
        op.add_column("machines", column)
    for name in ("moving_to", "moved_from"):
        op.create_index(f"ix_machines_{name}", "machines", [name])
