"""Reading a feed again: fetch, read, replace; whatever goes wrong, what was read before stays."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, NotFound, SourceFailed
from cernvmcontroller.catalogue.readers.document import Document
from cernvmcontroller.catalogue.schedule import next_check
from cernvmcontroller.catalogue.sources import BUILTIN, builtin
from cernvmcontroller.catalogue.standing import expiring
from cernvmcontroller.fetch import Fetched, Fetcher, Validators
from cernvmcontroller.store import Actor, Store, entries, feeds

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cernvmcontroller.store import Transaction
    from cernvmcontroller.store.tables import FeedRow

_log = structlog.get_logger(__name__)

LARGEST = 32 * 1024**2
"""Bytes of a feed."""
SECONDS = 120.0
"""Until all of it is here."""

Read = Callable[[bytes, str, str | None], Awaitable[Document]]
"""Content, URL and authority to what the feed says: `cernvmcontroller.catalogue.isolation.read_apart`."""


class Refresher:
    """Reads feeds again, each at most once at a time.

    Parameters
    ----------
    store
        Where they are.
    fetcher
        Gets them.
    read
        Understands them.
    """

    def __init__(self, store: Store, fetcher: Fetcher, read: Read) -> None:
        self._store = store
        self._fetcher = fetcher
        self._read = read
        self._locks: dict[str, asyncio.Lock] = {}

    async def __call__(self, feed_id: str) -> str:
        """Read a feed again; return in a sentence what came of it.

        Raises
        ------
        SourceFailed
            It cannot be read; the feed says so too.
        NotFound
            There is no such feed, or not any more.
        """
        async with self._locks.setdefault(feed_id, asyncio.Lock()):
            try:
                return await self._refresh(feed_id)
            except NotFound:
                self._locks.pop(feed_id, None)
                raise

    async def _refresh(self, feed_id: str) -> str:
        async with self._store.read() as session:
            row = await feeds.get(session, feed_id)
        try:
            fetched = await self._fetch(row)
            digest = (
                hashlib.sha256(fetched.content).hexdigest() if fetched.content is not None else row.digest
            )
            if fetched.content is None or digest == row.digest:
                return await self._unchanged(row, fetched.validators)
            document = await self._read(fetched.content, fetched.url, row.authority)
        except SourceFailed as error:
            await self._failed(row, error)
            raise
        except Exception:  # noqa: BLE001 - a feed must not go silent because we erred
            _log.exception("a feed was not read", feed=feed_id)
            ours = SourceFailed("The controller made an error; its log has the details.")
            await self._failed(row, ours)
            raise ours from None
        return await self._changed(row, document, fetched.validators, digest)

    async def _fetch(self, row: FeedRow) -> Fetched:
        if row.url.startswith(BUILTIN):
            return Fetched(row.url, builtin(row.url), Validators())
        # Without anything read yet, what the server says is new.
        known = Validators(row.etag, row.last_modified) if row.digest else None
        return await self._fetcher.fetch(
            row.url, limit=LARGEST, seconds=SECONDS, allow_http=row.allow_http, known=known
        )

    async def _unchanged(self, old: FeedRow, validators: Validators) -> str:
        async with self._write(old) as tx:
            row = await _same(tx, old)
            was_failing = row.failing_since is not None
            _went_well(row, validators)
            if was_failing:
                await feeds.changed(tx, row)
        return "Nothing had changed."

    async def _changed(
        self, old: FeedRow, document: Document, validators: Validators, digest: str | None
    ) -> str:
        said = [expiring(entry, document.expires) for entry in document.entries]
        rows = await asyncio.to_thread(entries.prepared, old.id, said)
        async with self._write(old) as tx:
            row = await _same(tx, old)
            different = await entries.replace(tx, row.id, rows)
            _went_well(row, validators)
            row.kind, row.description = document.kind, document.description
            row.expires, row.signer = document.expires, document.signer
            row.entries, row.digest, row.updated = len(said), digest, row.checked
            await feeds.changed(tx, row)
        _log.info("feed read", feed=old.id, entries=len(said), different=different)
        return f"{len(said)} entries, {different} of them new, different or gone."

    async def _failed(self, old: FeedRow, error: CernVMError) -> None:
        now = datetime.now(UTC)
        _log.warning("feed not read", feed=old.id, reason=error.detail)
        async with self._write(old) as tx:
            row = await _same(tx, old)
            news = row.error != error.detail
            row.failing_since, row.error = row.failing_since or now, error.detail
            row.failures += 1
            row.next_check = next_check(now, row.interval, row.failures, random.random())  # noqa: S311
            if news:
                await feeds.changed(tx, row)

    def _write(self, row: FeedRow) -> AbstractAsyncContextManager[Transaction]:
        return self._store.write(Actor.system(), "feed.refresh", f"feed/{row.id}", audit=False)


def source(row: FeedRow) -> tuple[str, str | None, bool]:
    """Return what decides what a feed says and whether it is believed: where, by whom, in which way."""
    return row.url, row.authority, row.allow_http


async def _same(tx: Transaction, old: FeedRow) -> FeedRow:
    """Return the feed's row, unless somebody changed meanwhile what is read: then nothing is written."""
    row = await feeds.get(tx.session, old.id)
    if source(row) != source(old):
        raise NotFound(f"The feed {old.id} was changed while it was read; it is read again.")
    return row


def _went_well(row: FeedRow, validators: Validators) -> None:
    now = datetime.now(UTC)
    row.checked, row.failing_since, row.failures, row.error = now, None, 0, ""
    row.etag, row.last_modified = validators.etag, validators.last_modified
    row.next_check = next_check(now, row.interval, 0, random.random())  # noqa: S311 - a schedule, no secret
