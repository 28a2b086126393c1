"""Feeds and their entries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.store.samples import ALICE, NOW

from cernvmapi.errors import Malformed, NotFound
from cernvmapi.models import Enclosure, Entry
from cernvmcontroller.store import Store, entries, feeds
from cernvmcontroller.store.entries import EntryQuery
from cernvmcontroller.store.tables import FeedRow

if TYPE_CHECKING:
    from collections.abc import Sequence


def entry(number: int, **more: Any) -> Entry:
    fields = {"guid": f"g{number}", "title": f"Entry {number:02}", "version": f"1.{number}", **more}
    return Entry(**fields)


async def add(store: Store, id_: str = "one", **more: Any) -> None:
    async with store.write(ALICE, "feed.create", f"feed/{id_}") as tx:
        fields = {"title": id_, "url": f"https://{id_}.example/", "interval": 3600, "next_check": NOW, **more}
        await feeds.add(tx, FeedRow(id=id_, **fields))


async def replace(store: Store, said: Sequence[Entry], feed: str = "one") -> int:
    async with store.write(ALICE, "feed.refresh", f"feed/{feed}") as tx:
        return await entries.replace(tx, feed, entries.prepared(feed, said))


async def titles(store: Store, **query: Any) -> list[str]:
    async with store.read() as session:
        return [row.said.title for row in (await entries.page(session, EntryQuery(**query))).rows]


async def test_a_feed_comes_back_and_is_told(store: Store) -> None:
    await add(store, authority="-----BEGIN CERTIFICATE-----")
    event = await anext(store.events.subscribe(store.events.last_id() - 1))
    assert (event.type, event.subject, event.owner) == ("feed.changed", "feed/one", None)
    assert "authority" not in event.data
    async with store.read() as session:
        feed = feeds.to_model(await feeds.get(session, "one"))
        assert (feed.title, feed.signed, feed.entries) == ("one", True, 0)
        with pytest.raises(NotFound, match="no feed 'two'"):
            await feeds.get(session, "two")


async def test_feeds_are_due_when_their_time_has_come(store: Store) -> None:
    await add(store, "late", next_check=NOW + timedelta(hours=1))
    await add(store, "second", next_check=NOW - timedelta(hours=1))
    await add(store, "first", next_check=NOW - timedelta(hours=2))
    await add(store, "off", next_check=NOW - timedelta(hours=3), enabled=False)
    async with store.read() as session:
        assert await feeds.due(session, NOW) == ["first", "second"]


async def test_only_what_changed_is_written_and_ids_stay(store: Store) -> None:
    await add(store)
    assert await replace(store, [entry(1), entry(2), entry(3)]) == 3
    assert await replace(store, [entry(1), entry(2), entry(3)]) == 0
    assert await replace(store, [entry(1), entry(2, title="Second"), entry(4)]) == 3
    assert await titles(store, sort="title") == ["Entry 01", "Entry 04", "Second"]
    async with store.read() as session:
        row = await entries.get(session, entries.entry_id("one", "g2"))
    assert row.said == entry(2, title="Second")


async def test_an_entry_comes_back_as_it_was_said(store: Store) -> None:
    await add(store)
    said = entry(
        1, description="a\nb ☕", category="Free", arch="x86_64", updated=NOW, updated_text="sometime",
        enclosures=[Enclosure(url="https://e.test/i", length=2**40, checksums={"sha256": "0" * 64})],
        expires=NOW, context=["nocloud"],
    )  # fmt: skip
    await replace(store, [said])
    async with store.read() as session:
        ((row),) = (await entries.page(session, EntryQuery())).rows
    assert row.said == said


async def test_the_list_is_searched_filtered_sorted_and_comes_in_pages(store: Store) -> None:
    await add(store, "one")
    await add(store, "two")
    size = [Enclosure(url="https://e.test/i", length=5)]
    await replace(store, [entry(1, category="Free", arch="x86_64", updated=NOW), entry(2, enclosures=size)])
    await replace(store, [entry(3, description="ÄRGER 100%", arch="x86_64"), entry(1, title="aa")], "two")
    assert await titles(store, feed="two", sort="title") == ["aa", "Entry 03"]
    assert await titles(store, category="Free") == ["Entry 01"]
    assert await titles(store, arch="x86_64", sort="-title") == ["Entry 03", "Entry 01"]
    assert await titles(store, search="entry ärger") == ["Entry 03"]
    assert await titles(store, search="0%") == ["Entry 03"]
    assert await titles(store, search="%") == ["Entry 03"]
    assert await titles(store, search="nothing") == []
    assert (await titles(store))[0] == "Entry 01"  # the newest first; unknown dates last
    assert (await titles(store, sort="-size"))[0] == "Entry 02"
    for sort in entries.SORT_KEYS:
        whole = await titles(store, sort=sort)
        seen: list[str] = []
        cursor = None
        while True:
            async with store.read() as session:
                found = await entries.page(session, EntryQuery(sort=sort, limit=1, cursor=cursor))
            seen += [row.said.title for row in found.rows]
            assert found.total == 4
            cursor = found.next
            if cursor is None:
                break
        assert seen == whole
    async with store.read() as session:
        with pytest.raises(Malformed, match="colour"):
            await entries.page(session, EntryQuery(sort="colour"))


async def test_a_removed_feed_takes_its_entries_along(store: Store) -> None:
    await add(store, "one")
    await add(store, "two")
    await replace(store, [entry(1)], "one")
    await replace(store, [entry(2)], "two")
    async with store.write(ALICE, "feed.delete", "feed/one") as tx:
        await feeds.remove(tx, await feeds.get(tx.session, "one"))
    assert await titles(store) == ["Entry 02"]
    event = await anext(store.events.subscribe(store.events.last_id() - 1))
    assert (event.type, event.subject) == ("feed.deleted", "feed/one")


async def test_thousands_of_entries_are_replaced(store: Store) -> None:
    await add(store)
    assert await replace(store, [entry(number) for number in range(2500)]) == 2500
    assert await replace(store, [entry(number, licence="GPL") for number in range(500, 3000)]) == 3000
    async with store.read() as session:
        assert (await entries.page(session, EntryQuery())).total == 2500
