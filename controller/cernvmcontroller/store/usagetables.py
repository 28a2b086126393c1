"""The tables of what machines used: series, their history in four steps of time, and starts.

A row of history says what a series used in one slot: slot n of a step of s seconds begins n * s seconds after
1970 (so four bytes are enough, for good). Rows come in the order of time, and the key begins with it: a write
touches the end of the table only, however many series there are.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations at run time

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from cernvmapi.models import OperationStatus
from cernvmcontroller.store.columns import named
from cernvmcontroller.store.tables import Table


class SeriesRow(Table):
    """What is measured: a machine as it is now (its owner, its host), or a sum over machines.

    A machine that is handed over or moved goes on as another series, so that each sum has what belongs to it.
    """

    __tablename__ = "usage_series"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``machine``, ``host``, ``appliance`` or ``cluster``."""
    subject: Mapped[str]
    """Its id."""
    owner: Mapped[str] = mapped_column(default="")
    """Of the machine; empty for a sum, as are the next two."""
    host: Mapped[str] = mapped_column(String(64), default="")
    appliance: Mapped[str] = mapped_column(String(64), default="")
    first: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970: nothing was measured before."""
    seen: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970: up to when it is known to have been measured, as of the last hour that ended."""

    __table_args__ = (
        Index("uq_usage_series", "kind", "subject", "owner", "host", "appliance", unique=True),
        Index("ix_usage_series_owner", "owner"),
    )


class UsageRow(Table):
    """What a series used in a slot; the numbers of a sum's rows are the sums of its machines'."""

    __abstract__ = True

    cpu_ms: Mapped[int] = mapped_column(BigInteger)
    """Milliseconds of one processor."""
    memory: Mapped[int] = mapped_column(BigInteger)
    """MiB, times the seconds for which they were held."""
    disk_read: Mapped[int] = mapped_column(BigInteger)
    """Bytes, as the next three."""
    disk_written: Mapped[int] = mapped_column(BigInteger)
    network_received: Mapped[int] = mapped_column(BigInteger)
    network_sent: Mapped[int] = mapped_column(BigInteger)
    running: Mapped[int] = mapped_column(BigInteger)
    """Seconds that machines ran: 60 for two machines in 30 seconds."""
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    series: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    span: Mapped[int]
    """Seconds of the slot in which anything was measured."""

    # SQLite keeps such a table in the order of its key, which needs no index beside it then.
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own way


class UsageTickRow(UsageRow):
    """Slots of 30 seconds."""

    __tablename__ = "usage_ticks"


class UsageFiveMinutesRow(UsageRow):
    """Slots of five minutes."""

    __tablename__ = "usage_five_minutes"


class UsageHourRow(UsageRow):
    """Slots of an hour."""

    __tablename__ = "usage_hours"


class UsageDayRow(UsageRow):
    """Slots of a day of UTC."""

    __tablename__ = "usage_days"


class BaselineRow(Table):
    """The counters of a host's machines at the last tick that was written: from where the next one counts."""

    __tablename__ = "usage_baselines"

    host: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    """See `cernvmcontroller.metering.counters.Baseline`."""


class StartRow(Table):
    """A start that ended; operations are forgotten after a month, and machines when they are deleted."""

    __tablename__ = "usage_starts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the operation."""
    owner: Mapped[str] = mapped_column(default="")
    actor: Mapped[str]
    """Who asked for it."""
    appliance: Mapped[str] = mapped_column(String(64), default="")
    """Empty where the machine was gone before it was looked up."""
    outcome: Mapped[OperationStatus] = mapped_column(named(OperationStatus))
    created: Mapped[datetime]
    waited_ms: Mapped[int] = mapped_column(BigInteger)
    """Milliseconds from the request to the end."""

    __table_args__ = (Index("ix_usage_starts_created", "created"),)
