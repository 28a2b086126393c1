"""Homes whose deletion was begun are marked."""

import sqlalchemy as sa
from alembic import op

revision = "volumes_going"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step up."""
    op.add_column("volumes", sa.Column("going", sa.Boolean(), server_default=sa.false(), nullable=False))
