"""The feeds: those of the configuration and those that administrators add; read on a schedule and by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from cernvmapi.errors import CernVMError, Conflict, SourceFailed, StoreUnavailable
from cernvmapi.models import Operation, OperationStatus
from cernvmcontroller.catalogue.isolation import read_apart
from cernvmcontroller.catalogue.refresh import Read, Refresher, source
from cernvmcontroller.catalogue.sources import FeedSpec, authority_of, certificates, refused
from cernvmcontroller.naming import new_id
from cernvmcontroller.store import Actor, Store, feeds, operations
from cernvmcontroller.store.surely import surely
from cernvmcontroller.store.tables import FeedRow
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from cernvmapi.models import Feed, FeedCreate, FeedUpdate
    from cernvmcontroller.fetch import Fetcher
    from cernvmcontroller.store import Transaction

_log = structlog.get_logger(__name__)

_LOOK_EVERY = 30.0
"""Seconds after which it is looked which feeds are due."""
_AT_ONCE = 3
"""Feeds that are read at the same time."""


class Feeds:
    """The feeds.

    Parameters
    ----------
    store
        Where they are.
    fetcher
        Gets them, and says from where they may be got.
    configured
        Those of the configuration; they are changed there.
    read
        Understands what was fetched.
    """

    def __init__(
        self, store: Store, fetcher: Fetcher, configured: Sequence[FeedSpec] = (), read: Read = read_apart
    ) -> None:
        self._store = store
        self._policy = fetcher.policy
        self._configured = configured
        self._refresh = Refresher(store, fetcher, read)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: set[str] = set()
        """The feeds that the schedule reads now."""
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Bring the table to what the configuration says, and begin with the schedule."""
        await self._load()
        self._begin(self._follow_schedule(), "feeds")

    async def close(self) -> None:
        """End; what was being read is read again at the next start."""
        await end(self._tasks)

    # --- look at ---

    async def feeds(self) -> list[Feed]:
        """Return the feeds, by title."""
        async with self._store.read() as session:
            return [feeds.to_model(row) for row in await feeds.listed(session)]

    async def feed(self, feed_id: str) -> Feed:
        """Return one feed."""
        async with self._store.read() as session:
            return feeds.to_model(await feeds.get(session, feed_id))

    # --- change ---

    async def create(self, actor: Actor, request: FeedCreate) -> Feed:
        """Add a feed; it is read at once.

        Raises
        ------
        Invalid
            Its URL may not be fetched, or its authority has no certificates.
        Conflict
            There is one with this id.
        """
        self._check(request.url, allow_http=request.allow_http)
        id_ = request.id or new_id("f")
        row = FeedRow(
            id=id_,
            title=request.title or httpx.URL(request.url).host[:255],
            url=request.url,
            interval=request.interval,
            allow_http=request.allow_http,
            authority=certificates(request.authority or ""),
            enabled=request.enabled,
            next_check=datetime.now(UTC),
        )
        async with self._store.write(actor, "feed.create", f"feed/{id_}", details={"url": row.url}) as tx:
            if await feeds.find(tx.session, id_) is not None:
                raise Conflict(f"There is a feed {id_} already; choose another id, or change that one.")
            feed = await feeds.add(tx, row)
        self._wake.set()
        return feed

    async def change(self, actor: Actor, feed_id: str, update: FeedUpdate) -> Feed:
        """Change a feed; another URL, authority or way to it has it read anew.

        Raises
        ------
        Invalid
            As `create`.
        Conflict
            It is of the configuration: only whether it is read can be changed here.
        """
        given = {
            name: value
            for name in ("url", "title", "interval", "allow_http", "enabled")
            if (value := getattr(update, name)) is not None
        }
        if update.authority is not None:
            given["authority"] = certificates(update.authority)
        said = {name: value for name, value in given.items() if name != "authority"}
        async with self._store.write(actor, "feed.change", f"feed/{feed_id}", details=said) as tx:
            row = await feeds.get(tx.session, feed_id)
            if row.configured and given.keys() - {"enabled"}:
                raise Conflict(
                    f"The feed {feed_id} is in the controller's configuration: change it there, or switch it "
                    "off here."
                )
            before = source(row)
            for name, value in given.items():
                setattr(row, name, value)
            if {"url", "allow_http"} & given.keys():
                self._check(row.url, allow_http=row.allow_http)
            if source(row) != before:
                forget(row)
            if given:
                row.next_check = datetime.now(UTC)
            feed = await feeds.changed(tx, row)
        self._wake.set()
        return feed

    async def delete(self, actor: Actor, feed_id: str) -> None:
        """Delete a feed with what it offers; what was downloaded stays.

        Raises
        ------
        Conflict
            It is of the configuration.
        """
        async with self._store.write(actor, "feed.delete", f"feed/{feed_id}") as tx:
            row = await feeds.get(tx.session, feed_id)
            if row.configured:
                raise Conflict(
                    f"The feed {feed_id} is in the controller's configuration: take it out there, or switch "
                    "it off."
                )
            await feeds.remove(tx, row)

    def _check(self, url: str, *, allow_http: bool) -> None:
        try:
            self._policy.target(url, allow_http=allow_http)
        except SourceFailed as error:
            raise refused(error) from None

    # --- read ---

    async def refresh(self, actor: Actor, feed_id: str) -> Operation:
        """Begin to read a feed again; where that is under way on request already, return its operation."""
        subject = f"feed/{feed_id}"
        async with self._store.write(actor, "feed.refresh", subject) as tx:
            await feeds.get(tx.session, feed_id)
            for row in await operations.running(tx.session, subject):
                return operations.to_model(row)
            row = await operations.create(
                tx, new_id("o"), "feed.refresh", subject, message="Reading the feed."
            )
            operation = operations.to_model(row)
        self._begin(self._refresh_on_request(operation.id, feed_id), f"refresh {feed_id}")
        return operation

    async def _refresh_on_request(self, operation: str, feed_id: str) -> None:
        error: CernVMError | None = None
        message = None
        try:
            message = await self._refresh(feed_id)
        except CernVMError as failure:
            error = failure
        await surely(lambda: self._end(operation, feed_id, message, error))

    async def _end(
        self, operation: str, feed_id: str, message: str | None, error: CernVMError | None
    ) -> None:
        status = OperationStatus.FAILED if error else OperationStatus.SUCCEEDED
        async with self._store.write(Actor.system(), "feed.refresh", f"feed/{feed_id}", audit=False) as tx:
            problem = error.problem() if error else None
            await operations.finish(tx, operation, status, message=message, error=problem)

    async def _follow_schedule(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._read_what_is_due()
            except StoreUnavailable as error:
                _log.warning("feeds not looked at", reason=error.detail)
            except Exception:  # noqa: BLE001 - one bad round must not be the last one
                _log.exception("feeds not looked at")
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _read_what_is_due(self) -> None:
        async with self._store.read() as session:
            due = await feeds.due(session, datetime.now(UTC))
        for feed_id in due:
            if feed_id not in self._reading:
                self._reading.add(feed_id)
                self._begin(self._refresh_on_schedule(feed_id), f"refresh {feed_id}")

    async def _refresh_on_schedule(self, feed_id: str) -> None:
        try:
            async with self._slots:
                await self._refresh(feed_id)
        except CernVMError as error:
            _log.debug("feed not read on schedule", feed=feed_id, reason=error.detail)  # the feed says it too
        finally:
            self._reading.discard(feed_id)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- the configuration ---

    async def _load(self) -> None:
        """Bring the table to what the configuration says; whether a feed is switched off is kept."""
        async with self._store.write(Actor.system(), "feeds.load", "feeds", audit=False) as tx:
            rows = {row.id: row for row in await feeds.listed(tx.session)}
            for spec in self._configured:
                await _put(tx, rows.get(spec.id), spec)
            names = {spec.id for spec in self._configured}
            for id_, row in rows.items():
                if row.configured and id_ not in names:
                    await feeds.remove(tx, row)


def forget(row: FeedRow) -> None:
    """Have a feed read anew: what is known of its content was of another URL, or of another signer.

    What it offers stays in the list, and is not believed until then.
    """
    row.etag = row.last_modified = row.digest = row.signer = None


async def _put(tx: Transaction, row: FeedRow | None, spec: FeedSpec) -> None:
    """Insert a feed of the configuration, or change what the configuration says differently."""
    authority = authority_of(spec)
    given = {
        "title": spec.title,
        "url": spec.url,
        "interval": spec.interval,
        "allow_http": spec.allow_http,
        "authority": authority,
        "configured": True,
    }
    if row is None:
        await feeds.add(tx, FeedRow(id=spec.id, next_check=datetime.now(UTC), **given))
    elif any(getattr(row, name) != value for name, value in given.items()):
        before = source(row)
        for name, value in given.items():
            setattr(row, name, value)
        if source(row) != before:
            forget(row)
        row.next_check = datetime.now(UTC)
        await feeds.changed(tx, row)
