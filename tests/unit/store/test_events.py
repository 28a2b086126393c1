"""Events: nothing missed, nothing out of order, no memory without bound."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update
from tests.unit.store.samples import ALICE, HUB

from cernvmcontroller.events import RESET, EventLog, Subscription
from cernvmcontroller.store import Store
from cernvmcontroller.store.tables import EventRow

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.models import Event


async def tell(
    store: Store, *subjects: str, kind: str = "machine.changed", owner: str | None = "alice"
) -> None:
    async with store.write(ALICE, "tell", "events", audit=False) as tx:
        for subject in subjects:
            tx.emit(kind, subject, owner, {"subject": subject})


async def take(events: Subscription, count: int) -> list[Event]:
    async with asyncio.timeout(20):
        return [await anext(events) for _ in range(count)]


async def nothing_more(events: Subscription) -> None:
    """Prove it by the next event, not by waiting."""
    waiting = asyncio.ensure_future(anext(events))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_a_subscriber_gets_what_happens_after_it_subscribed(store: Store) -> None:
    await tell(store, "before")
    events = store.events.subscribe()
    await tell(store, "a", "b")
    await tell(store, "c")
    assert [event.subject for event in await take(events, 3)] == ["a", "b", "c"]
    await tell(store, "d")
    (event,) = await take(events, 1)
    assert event.data == {"subject": "d"}
    assert event.id == store.events.last_id()
    assert event.at.tzinfo is not None


async def test_a_stream_is_resumed_after_any_event_even_by_the_next_controller(
    store: Store, database_url: str
) -> None:
    beginning = store.events.last_id()
    await tell(store, *"abcdef")
    first = await take(store.events.subscribe(beginning), 6)
    again = await Store.open(database_url, HUB)
    assert again.events.last_id() == store.events.last_id()
    assert await take(again.events.subscribe(first[2].id), 3) == first[3:]
    await again.close()


async def test_a_long_history_is_read_in_batches_while_new_events_come(store: Store) -> None:
    log = store.events
    log._batch = 7
    events = log.subscribe(log.last_id())
    await tell(store, *(str(n) for n in range(50)))
    told = await take(events, 10)
    for n in range(50, 80):
        await tell(store, str(n))
        told += await take(events, 2)
    told += await take(events, 10)
    assert [event.subject for event in told] == [str(n) for n in range(80)]


async def test_nothing_is_missed_by_many_subscribers_of_every_speed(store: Store) -> None:
    store.events._queue = 5
    store.events._batch = 3

    beginning = store.events.last_id()

    async def follow(pause: int) -> list[int]:
        events = store.events.subscribe(beginning)
        seen = []
        for _ in range(120):
            seen.append(int((await anext(events)).subject))
            for _ in range(pause):
                await asyncio.sleep(0)
        return seen

    followers = [asyncio.create_task(follow(pause)) for pause in (0, 1, 5, 50, 300)]
    for n in range(60):
        await tell(store, str(2 * n), str(2 * n + 1))
    async with asyncio.timeout(60):
        for seen in await asyncio.gather(*followers):
            assert seen == list(range(120))


async def test_a_subscriber_that_does_not_read_costs_no_memory(store: Store) -> None:
    store.events._queue = 10
    events = store.events.subscribe()
    await tell(store, "first")
    await take(events, 1)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for n in range(40):
        await tell(store, str(n))
        assert len(events._pending) <= 10
    assert [(await waiting).subject, *(event.subject for event in await take(events, 39))] == [
        str(n) for n in range(40)
    ]


async def test_only_the_chosen_types_and_owners_are_told(store: Store) -> None:
    deletions = store.events.subscribe(types={"machine.deleted"})
    alices = store.events.subscribe(owner="alice")
    early = store.events.subscribe(store.events.last_id(), {"machine.deleted"}, "alice")
    for round_ in range(2):  # the first is read from the database, the second pushed
        await tell(store, f"m-a{round_}", owner="alice")
        await tell(store, f"m-b{round_}", owner="bob")
        await tell(store, f"m-b{round_}", kind="machine.deleted", owner="bob")
        await tell(store, f"m-a{round_}", kind="machine.deleted", owner="alice")
        await tell(store, f"host{round_}", kind="host.changed", owner=None)
        await tell(store, f"cernvm{round_}", kind="appliance.changed", owner=None)
        assert [event.subject for event in await take(deletions, 2)] == [f"m-b{round_}", f"m-a{round_}"]
        assert [event.subject for event in await take(alices, 3)] == [
            f"m-a{round_}",
            f"m-a{round_}",
            f"cernvm{round_}",
        ]
        assert [event.subject for event in await take(early, 1)] == [f"m-a{round_}"]
        for events in (deletions, alices, early):
            await nothing_more(events)


async def test_a_heartbeats_timeout_loses_no_event(store: Store) -> None:
    events = store.events.subscribe()
    for n in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.001)
        await tell(store, str(n))
        assert [event.subject for event in await take(events, 1)] == [str(n)]


async def test_old_events_go_and_who_needed_them_is_told_to_list_again(store: Store) -> None:
    await tell(store, *(str(n) for n in range(20)))
    newest = store.events.last_id()
    assert await store.prune(keep=5) == 15
    assert await store.prune(keep=5) == 0
    (event,) = await take(store.events.subscribe(newest - 6), 1)
    assert (event.type, event.id) == (RESET, newest)
    events = store.events.subscribe(0, types={"machine.deleted"})
    (event,) = await take(events, 1)
    assert (event.type, event.id) == (RESET, newest)
    await tell(store, "after", kind="machine.deleted")
    assert [event.subject for event in await take(events, 1)] == ["after"]
    assert [event.subject for event in await take(store.events.subscribe(newest - 5), 6)] == [
        "15",
        "16",
        "17",
        "18",
        "19",
        "after",
    ]


async def test_events_of_last_week_go(store: Store) -> None:
    await tell(store, "old", "older")
    async with store.write(ALICE, "age", "events", audit=False) as tx:
        await tx.session.execute(update(EventRow).values(at=datetime.now(UTC) - timedelta(days=8)))
    await tell(store, "new")
    newest = store.events.last_id()
    assert await store.prune() == 2
    assert [event.subject for event in await take(store.events.subscribe(newest - 1), 1)] == ["new"]


async def test_ids_are_not_used_again_after_everything_old_went(store: Store, database_url: str) -> None:
    await tell(store, "a", "b", "c")
    before = store.events.last_id()
    await store.prune(keep=0, days=0)
    again = await Store.open(database_url, HUB)
    assert again.events.last_id() == before
    await again.close()
    async with store.write(ALICE, "delete by hand", "events", audit=False) as tx:
        await tx.session.execute(delete(EventRow))
    await tell(store, "d")
    assert store.events.last_id() == before + 1


async def test_an_id_of_another_database_is_answered_with_a_reset(store: Store) -> None:
    await tell(store, "a")
    events = store.events.subscribe(store.events.last_id() + 1000)
    (event,) = await take(events, 1)
    assert event.type == RESET
    await tell(store, "b")
    assert [event.subject for event in await take(events, 1)] == ["b"]


async def test_a_database_in_place_of_a_lost_one_counts_on_and_resets_who_knew_that(
    store: Store, tmp_path: Path
) -> None:
    await tell(store, *"abc")
    known = store.events.last_id()
    anew = await Store.open(f"sqlite+aiosqlite:///{tmp_path}/anew.sqlite", HUB)
    beginning = anew.events.last_id()
    assert known < beginning < 2**53
    early = anew.events.subscribe(known)
    await tell(anew, *"defgh")
    assert anew.events.last_id() == beginning + 5
    for events in (early, anew.events.subscribe(known), anew.events.subscribe(0)):
        (event,) = await take(events, 1)
        assert (event.type, event.id) == (RESET, anew.events.last_id())
    told = await take(anew.events.subscribe(beginning), 5)
    assert [event.subject for event in told] == list("defgh")
    assert await anew.prune() == 0
    await anew.close()


async def test_closing_ends_every_stream(store: Store) -> None:
    events = store.events.subscribe()
    waiting = asyncio.create_task(take_all(events))
    await asyncio.sleep(0)
    store.events.close()
    async with asyncio.timeout(10):
        assert await waiting == []


async def take_all(events: Subscription) -> list[Event]:
    return [event async for event in events]


async def test_a_dropped_subscription_is_forgotten(store: Store) -> None:
    log: EventLog = store.events
    events = log.subscribe()
    assert log.subscribers == 1
    del events
    assert log.subscribers == 0
