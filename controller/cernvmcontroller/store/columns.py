"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from sqlalchemy import JSON, DateTime, Dialect, Enum, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

E = TypeVar("E", bound=StrEnum)


class Instant(TypeDecorator[datetime]):
    """An instant, in UTC on both sides.

    SQLite has no time zones: there it is text of one fixed width, so that it sorts as it should.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse an instant without a zone: it would be read in another one on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant with its zone."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Record(TypeDecorator[Any]):
    """A model of the contract (or a list or dictionary of them), kept as JSON.

    A change *inside* the value is not noticed: assign a new value.

    Parameters
    ----------
    kind
        The type as the annotation says it, for example ``list[PhaseMark]``.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose PostgreSQL's binary form where there is one; ``None`` is SQL's NULL in both."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Turn models into what JSON has."""
        del dialect
        return msgspec.to_builtins(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Turn JSON into models."""
        del dialect
        return None if value is None else msgspec.convert(value, self.kind)


def binary_text(length: int) -> String:
    """Return text that sorts by code point in every database, whatever its locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def named(kind: type[E]) -> Enum:
    """Return a column type that keeps the value of a `StrEnum`: a new member needs no migration."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )
