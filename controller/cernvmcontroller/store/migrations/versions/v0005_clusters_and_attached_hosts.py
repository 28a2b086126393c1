"""Clusters, and hosts that are attached through the API."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cernvmcontroller.store.columns import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database one step up."""
    record = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    for column in (
        sa.Column("cpu_features", record, nullable=False, server_default="[]"),
        sa.Column("reached", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("notes", sa.Text(), nullable=False, server_default=""),
        sa.Column("address", sa.String(length=255), nullable=False, server_default=""),
        sa.Column("configured", record, nullable=True),
        sa.Column("attached", record, nullable=True),
    ):
        op.add_column("hosts", column)
    op.add_column("machines", sa.Column("apart", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_machines_apart"), "machines", ["apart"], unique=False)
    clusters = op.create_table(
        "clusters",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clusters")),
        sa.UniqueConstraint("name", name=op.f("uq_clusters_name")),
    )
    for table, member in (("hosts", "host_id"), ("machines", "machine_id")):
        name = f"cluster_{table}"
        op.create_table(
            name,
            sa.Column("cluster_id", sa.String(length=64), nullable=False),
            sa.Column(member, sa.String(length=64), nullable=False),
            sa.ForeignKeyConstraint(
                ["cluster_id"], ["clusters.id"], name=op.f(f"fk_{name}_cluster_id"), ondelete="CASCADE"
            ),
            sa.ForeignKeyConstraint(
                [member], [f"{table}.id"], name=op.f(f"fk_{name}_{member}"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("cluster_id", member, name=op.f(f"pk_{name}")),
        )
        op.create_index(op.f(f"ix_{name}_{member}"), name, [member], unique=False)
    op.bulk_insert(
        clusters, [{"id": "default", "name": "default", "description": "", "created": datetime.now(UTC)}]
    )
