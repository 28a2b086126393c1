"""What machines use."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SUMS = (
    "cpu_ms",
    "memory",
    "disk_read",
    "disk_written",
    "network_received",
    "network_sent",
    "running",
)


def upgrade() -> None:
    """Bring the database one step up."""
    op.create_table(
        "usage_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("appliance", sa.String(length=64), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_series")),
    )
    op.create_index("ix_usage_series_owner", "usage_series", ["owner"], unique=False)
    op.create_index(
        "uq_usage_series", "usage_series", ["kind", "subject", "owner", "host", "appliance"], unique=True
    )
    for name in ("usage_ticks", "usage_five_minutes", "usage_hours", "usage_days"):
        op.create_table(
            name,
            *(sa.Column(column, sa.BigInteger(), nullable=False) for column in _SUMS),
            sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("series", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("span", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("slot", "series", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "usage_baselines",
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_usage_baselines")),
    )
    op.create_table(
        "usage_starts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("appliance", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waited_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_starts")),
    )
    op.create_index("ix_usage_starts_created", "usage_starts", ["created"], unique=False)
