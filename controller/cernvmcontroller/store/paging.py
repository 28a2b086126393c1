"""Pages of a list by keyset: as fast at the end of 10,000 rows as at the beginning.

A cursor holds the sort key and the id of the last row seen; the next page is what comes after them. Rows that
are added or removed meanwhile neither repeat nor hide others, as they would with offsets.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from sqlalchemy import Select, func, literal, tuple_

from cernvmapi.errors import Malformed
from cernvmcontroller.store import journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import InstrumentedAttribute

R = TypeVar("R")

MAX_LIMIT = 1000


@dataclass(frozen=True)
class Slice(Generic[R]):
    """One page of rows."""

    rows: Sequence[R]
    total: int
    """How many there are in all pages."""
    next: str | None
    """Cursor of the next page; None on the last one."""
    event_id: int
    """The newest event that these rows include."""


@dataclass(frozen=True)
class Order:
    """What a list is sorted by; the id decides between equals.

    Parameters
    ----------
    name
        As a client says it; a cursor is good for the order that it was made for only.
    key
        Column without NULL.
    ident
        The table's primary key.
    kind
        Python type of `key`.
    descending
        Of key and id.
    """

    name: str
    key: InstrumentedAttribute[Any]
    ident: InstrumentedAttribute[Any]
    kind: type = str
    descending: bool = False

    def after(self, query: Select[R], cursor: str) -> Select[R]:
        """Return the query for what comes after the cursor's row."""
        key, ident = self._decode(cursor)
        here = tuple_(self.key, self.ident)
        there = tuple_(literal(key, self.key.type), literal(ident, self.ident.type))
        return query.where(here < there if self.descending else here > there)

    def sort(self, query: Select[R]) -> Select[R]:
        """Return the query, sorted."""
        columns = (self.key, self.ident)
        return query.order_by(*(column.desc() if self.descending else column.asc() for column in columns))

    def cursor(self, row: Any) -> str:
        """Return the cursor after `row`."""
        content = [self.name, getattr(row, self.key.key), getattr(row, self.ident.key)]
        return urlsafe_b64encode(msgspec.json.encode(content)).decode().rstrip("=")

    def _decode(self, cursor: str) -> tuple[Any, Any]:
        form: Any = tuple[str, self.kind, self.ident.type.python_type]  # type: ignore[name-defined]
        try:
            content = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            name, key, ident = msgspec.json.decode(content, type=form)
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise Malformed("The cursor is not one that this list gave: begin without it.") from None
        if name != self.name:
            raise Malformed(f"The cursor belongs to a list sorted by {name!r}: begin without it.")
        return key, ident


async def page(
    session: AsyncSession, query: Select[R], order: Order, *, limit: int, cursor: str | None
) -> Slice[R]:
    """Return one page of a query's rows.

    Parameters
    ----------
    session
        In a snapshot: the total and the event id are of the same moment as the rows.
    query
        With its conditions, without an order.
    order
        How to sort.
    limit
        Rows a page, 1 to `MAX_LIMIT`.
    cursor
        From the page before; None for the first.

    Raises
    ------
    Malformed
        The cursor is not one of this list, or the limit is out of range.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise Malformed(f"The limit has to be between 1 and {MAX_LIMIT}.")
    total = await session.scalar(query.with_only_columns(func.count(), maintain_column_froms=True))
    wanted = order.sort(query if cursor is None else order.after(query, cursor)).limit(limit + 1)
    rows = (await session.scalars(wanted)).all()
    more = len(rows) > limit
    return Slice(
        rows=rows[:limit],
        total=total or 0,
        next=order.cursor(rows[limit - 1]) if more else None,
        event_id=await journal.last_id(session),
    )
