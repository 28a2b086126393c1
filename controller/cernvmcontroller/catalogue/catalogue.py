"""The list of all that the feeds offer, compared with what is here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.models import Page
from cernvmcontroller.catalogue.standing import compared
from cernvmcontroller.store import Store, appliances, entries, feeds

if TYPE_CHECKING:
    from cernvmapi.models import CatalogueEntry
    from cernvmcontroller.store.entries import EntryQuery


class Catalogue:
    """What the feeds offer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: EntryQuery) -> Page[CatalogueEntry]:
        """Return one page; `Malformed` for a cursor of no page."""
        now = datetime.now(UTC)
        async with self._store.read() as session:
            found = await entries.page(session, wanted)
            sources = {row.id: row for row in await feeds.listed(session)}
            here = [appliances.to_model(row) for row in await appliances.listed(session, hidden=True)]
        items = [
            compared(
                row.id,
                row.said,
                feed=row.feed,
                feed_title=sources[row.feed].title,
                signed=sources[row.feed].signer is not None,
                appliances=here,
                now=now,
            )
            for row in found.rows
        ]
        return Page(items=items, total=found.total, next=found.next, event_id=found.event_id)
