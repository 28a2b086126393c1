"""Entries of feeds: the whole content of a feed replaced, and the list of them all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import delete, insert, select, update

from cernvmapi.errors import Malformed
from cernvmcontroller.store.lookup import one
from cernvmcontroller.store.paging import Order, Slice
from cernvmcontroller.store.paging import page as page_of
from cernvmcontroller.store.tables import FeedEntryRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmapi.models import Entry
    from cernvmcontroller.store.transaction import Transaction

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 500
"""Rows a statement: others get their turn in between."""

Rows = dict[str, dict[str, Any]]
"""Rows of entries, by their ids."""

_KEYS = {
    "title": (FeedEntryRow.title_key, str),
    "updated": (FeedEntryRow.updated_key, datetime),
    "category": (FeedEntryRow.category_key, str),
    "size": (FeedEntryRow.size_key, int),
    "feed": (FeedEntryRow.feed, str),
}

SORT_KEYS = tuple(_KEYS)
"""What the list can be sorted by; with ``-`` before it, descending. Case does not matter."""


@dataclass(frozen=True)
class EntryQuery:
    """Which entries, in which order; None for any.

    Parameters
    ----------
    search
        Each of its words is part of title, description, version, system or licence, in whatever case.
    sort
        One of `SORT_KEYS`.
    """

    feed: str | None = None
    category: str | None = None
    arch: str | None = None
    search: str | None = None
    sort: str = "-updated"
    limit: int = 100
    cursor: str | None = None


def entry_id(feed: str, guid: str) -> str:
    """Return the id of an entry: the same whenever the feed is read."""
    return "e-" + hashlib.sha256(f"{feed}\0{guid}".encode()).hexdigest()[:24]


async def get(session: AsyncSession, id_: str) -> FeedEntryRow:
    """Return an entry; `NotFound` when there is none."""
    return await one(session, FeedEntryRow, id_, "entry")


async def page(session: AsyncSession, wanted: EntryQuery) -> Slice[FeedEntryRow]:
    """Return one page of entries; `Malformed` for a sort key or cursor that there is not."""
    query = select(FeedEntryRow)
    for column, value in (
        (FeedEntryRow.feed, wanted.feed),
        (FeedEntryRow.category, wanted.category),
        (FeedEntryRow.arch, wanted.arch),
    ):
        if value is not None:
            query = query.where(column == value)
    for word in (wanted.search or "").replace("\0", " ").casefold().split():
        query = query.where(FeedEntryRow.search_text.contains(word, autoescape=True))
    return await page_of(session, query, _order(wanted.sort), limit=wanted.limit, cursor=wanted.cursor)


def _order(sort: str) -> Order:
    key = sort.removeprefix("-")
    if key not in _KEYS:
        raise Malformed(f"The catalogue is not sorted by {key!r}, but by one of: {', '.join(SORT_KEYS)}.")
    column, kind = _KEYS[key]
    return Order(sort, column, FeedEntryRow.id, kind, descending=sort.startswith("-"))


def prepared(feed: str, entries: Sequence[Entry]) -> Rows:
    """Return the rows of what a feed offers, by their ids: made before a write, which others wait for."""
    return {entry_id(feed, entry.guid): _values(feed, entry) for entry in entries}


async def replace(tx: Transaction, feed: str, values: Rows) -> int:
    """Let a feed offer exactly what is `prepared`; what did not change is not touched.

    Returns
    -------
    int
        How many are new, different or gone.
    """
    query = select(FeedEntryRow.id, FeedEntryRow.digest).where(FeedEntryRow.feed == feed)
    known: dict[str, str] = dict((await tx.session.execute(query)).all())
    gone = [id_ for id_ in known if id_ not in values]
    new = [each for id_, each in values.items() if id_ not in known]
    different = [each for id_, each in values.items() if known.get(id_, each["digest"]) != each["digest"]]
    for ids in _chunks(gone):
        await tx.session.execute(delete(FeedEntryRow).where(FeedEntryRow.id.in_(ids)))
    for rows in _chunks(new):
        await tx.session.execute(insert(FeedEntryRow), rows)
    for rows in _chunks(different):
        await tx.session.execute(update(FeedEntryRow), rows)
    return len(gone) + len(new) + len(different)


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _values(feed: str, entry: Entry) -> dict[str, Any]:
    """Return an entry's row; case is folded here, for SQLite knows only ASCII's."""
    texts = (entry.title, entry.version, entry.os, entry.licence, entry.category, entry.description)
    return {
        "id": entry_id(feed, entry.guid),
        "feed": feed,
        "said": entry,
        "category": entry.category,
        "arch": entry.arch,
        "digest": hashlib.sha256(msgspec.json.encode(entry)).hexdigest(),
        "title_key": entry.title.casefold()[:255],
        "category_key": entry.category.casefold()[:255],
        "updated_key": entry.updated or _UNKNOWN,
        "size_key": (entry.enclosures[0].length or 0) if entry.enclosures else 0,
        "search_text": "\n".join(texts).casefold(),
    }
