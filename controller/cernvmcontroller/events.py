"""Events to subscribers: never a gap, never out of order, never more memory than a bounded queue.

Events are rows of the database, written in the transaction of the change that they tell (`store`). This
module hands them to whoever listens. A subscription is in one of two states:

reading
    It reads rows after its position, up to the newest committed event, batch by batch.
live
    It has everything up to the newest committed event and gets new ones from a queue in memory.

Who is too slow for its queue loses the queue and is reading again, so that a browser on a slow line costs the
database a query now and then, and the controller nothing.

The order of ids is the order of commits because writes are serialised: one controller, one lock, held from
the first statement of a transaction until its events are published. (PostgreSQL's sequences alone do not
promise that: of two transactions the one with the higher id may commit first, and who reads in between would
never see the other.)

The ids of a new database begin at the time at which it was made, in microseconds since 1970
(`journal.begin`). So a database that takes the place of a lost one counts on above all that the lost one gave
out, as nobody writes an event a microsecond; an id from before is below the new one's first, and who resumes
with it is told `RESET`. That holds while the clock is not set back behind the making of the lost database.
The ids stay below 2**53, up to where a browser counts exactly, until the year 2255.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self

from cernvmapi.models import Event

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

RESET = "reset"
"""Type of the event that says: what you know is too old to be continued, list again."""

PUBLIC_TYPES = frozenset({"appliance.changed", "appliance.deleted"})
"""Events that belong to nobody and that everybody may see; who serves them leaves out hidden appliances."""


@dataclass(frozen=True)
class Filter:
    """Which events a subscriber gets.

    Parameters
    ----------
    types
        Only these; None for all.
    owner
        Only events of this owner's objects, and of the types in `public`; None for everybody's.
    public
        See `owner`.
    """

    types: frozenset[str] | None = None
    owner: str | None = None
    public: frozenset[str] = PUBLIC_TYPES

    def wants(self, event: Event) -> bool:
        """Tell in memory what `Journal.since` tells in SQL."""
        if self.types is not None and event.type not in self.types:
            return False
        return self.owner is None or event.owner == self.owner or event.type in self.public


@dataclass(frozen=True)
class Batch:
    """Events read from the journal, and how far it was pruned at that moment."""

    events: Sequence[Event]
    pruned: int


class Journal(Protocol):
    """Where events are kept."""

    async def since(self, after: int, upto: int, chosen: Filter, limit: int) -> Batch:
        """Return the first `limit` of the chosen events with ``after < id <= upto``, in their order."""


class Subscription:
    """An endless iterator of events; an interrupted ``anext`` loses nothing.

    It is forgotten with its last reference; `close` ends it at once.
    """

    def __init__(self, log: EventLog, position: int, chosen: Filter, queue: int, batch: int) -> None:
        self._log = log
        self._position = position
        """Everything wanted up to this id was delivered or waits in `_pending`."""
        self._filter = chosen
        self._limit = queue
        self._batch = batch
        self._pending: deque[Event] = deque()
        self._live = False
        self._closed = False
        self._wake = asyncio.Event()

    def offer(self, events: Sequence[Event]) -> None:
        """Take new events, or give up the queue when there are too many."""
        if not self._live:
            return
        wanted = [event for event in events if self._filter.wants(event)]
        if len(self._pending) + len(wanted) > self._limit:
            self._log.lagged += 1
            self.rewind()
            return
        self._pending.extend(wanted)
        self._position = events[-1].id
        if wanted:
            self._wake.set()

    def rewind(self) -> None:
        """Drop the queue and read from the journal what was in it."""
        if self._live:
            self._live = False
            if self._pending:
                self._position = self._pending[0].id - 1
                self._pending.clear()
            self._wake.set()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._closed:
            if self._pending:
                return self._pending.popleft()
            if self._live:
                self._wake.clear()
                await self._wake.wait()
            else:
                await self._read()
        raise StopAsyncIteration

    async def _read(self) -> None:
        newest = self._log.last_id()
        if self._position == newest:
            # Nothing is awaited between this comparison and the next event: no gap.
            self._live = True
            return
        known = self._position <= newest  # else it comes from another database
        batch = await self._log.journal.since(self._position, newest, self._filter, self._batch)
        if not known or self._position < batch.pruned:
            newest = self._log.last_id()
            self._log.resets += 1
            self._pending.append(Event(id=newest, type=RESET, subject="events", at=datetime.now(UTC)))
            self._position = newest
            return
        self._pending.extend(batch.events)
        self._position = newest if len(batch.events) < self._batch else batch.events[-1].id


class EventLog:
    """The persisted events, followed by any number of subscribers.

    Parameters
    ----------
    journal
        Where the events are kept.
    last_id
        Id of the newest event there.
    queue
        How many events may wait for one subscriber before it reads them from the journal instead.
    batch
        How many events are read at once.
    """

    def __init__(self, journal: Journal, *, last_id: int = 0, queue: int = 1000, batch: int = 500) -> None:
        self.journal = journal
        self._last_id = last_id
        self._queue = queue
        self._batch = batch
        self.written = self.lagged = self.resets = 0
        """How many events were published, subscribers fell behind, and had to be told to begin anew."""
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def last_id(self) -> int:
        """Return the id of the newest committed event; before the first, where ids begin."""
        return self._last_id

    @property
    def subscribers(self) -> int:
        """How many listen now."""
        return len(self._subscriptions)

    def subscribe(
        self,
        after: int | None = None,
        types: Collection[str] | None = None,
        owner: str | None = None,
        *,
        public: Collection[str] = PUBLIC_TYPES,
    ) -> Subscription:
        """Return an iterator over every event after `after` and then each new one.

        It counts from this call, not from its first use: list the objects after it and nothing is missed.

        Parameters
        ----------
        after
            Id of the last event that the caller knows; None for new events only. Where events after it were
            thrown away already, or it comes from another database, the first event is a `RESET`; what follows
            goes on after that event's id.
        types
            Only these types (and `RESET`); None for all.
        owner
            Only events of this owner's objects, and of the types in `public`; None for everybody's.
        public
            See `owner`.
        """
        position = self._last_id if after is None else after
        chosen = Filter(None if types is None else frozenset(types), owner, frozenset(public))
        subscription = Subscription(self, position, chosen, self._queue, self._batch)
        self._subscriptions.add(subscription)
        return subscription

    def publish(self, events: Sequence[Event]) -> None:
        """Hand over events that were just committed, in the order of their ids."""
        if events:
            self.written += len(events)
            self._last_id = max(self._last_id, events[-1].id)
            for subscription in self._subscriptions:
                subscription.offer(events)

    def resync(self, last_id: int) -> None:
        """Let everybody read from the journal up to `last_id`: nobody knows what a broken commit wrote."""
        self._last_id = max(self._last_id, last_id)
        for subscription in self._subscriptions:
            subscription.rewind()

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()
