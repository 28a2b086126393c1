"""The definitions that administrators wrote for machines; the newest one counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column

from cernvmcontroller.store.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession


class DefinitionRow(Table):
    """One change of a machine's definition."""

    __tablename__ = "definitions"

    id: Mapped[int] = mapped_column(primary_key=True)
    machine: Mapped[str] = mapped_column(ForeignKey("machines.id", ondelete="CASCADE"))
    number: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    author: Mapped[str]
    comment: Mapped[str] = mapped_column(Text, default="")
    overrode: Mapped[list[str]] = mapped_column(default=list)
    own: Mapped[bool]
    """Whether the machine is started with `xml`, or with what the hub composes (again)."""
    xml: Mapped[str] = mapped_column(Text)
    before: Mapped[str] = mapped_column(Text)
    """What it replaced."""

    __table_args__ = (UniqueConstraint("machine", "number"),)


async def newest(session: AsyncSession, machine: str) -> DefinitionRow | None:
    """Return a machine's last change; None where there was none."""
    return (await session.scalars(_newest_first(machine).limit(1))).first()


async def own(session: AsyncSession, machine: str) -> str | None:
    """Return the definition that an administrator wrote for a machine; None where the hub's own counts."""
    last = await newest(session, machine)
    return last.xml if last is not None and last.own else None


async def history(session: AsyncSession, machine: str) -> Sequence[DefinitionRow]:
    """Return a machine's changes, the newest first."""
    return (await session.scalars(_newest_first(machine))).all()


def _newest_first(machine: str) -> Select[DefinitionRow]:
    return select(DefinitionRow).where(DefinitionRow.machine == machine).order_by(DefinitionRow.number.desc())
