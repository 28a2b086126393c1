"""The store: one place through which everything is written."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.ext.asyncio import AsyncSession

from cernvmapi.errors import StoreUnavailable
from cernvmcontroller.events import EventLog
from cernvmcontroller.store import journal, operations
from cernvmcontroller.store.database import Database, StoreError
from cernvmcontroller.store.migrations import upgrade
from cernvmcontroller.store.outage import Outages
from cernvmcontroller.store.tables import AuditRow, MetaRow
from cernvmcontroller.store.transaction import Actor, Transaction
from cernvmcontroller.store.turn import Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cernvmcontroller.store.leadership import Leadership

EVENTS_KEPT = 100_000
EVENT_DAYS = 7
OPERATION_DAYS = 30
_CHECKED = "store.checked"
"""Row of `MetaRow`: when `Store.check` wrote last."""

LONGEST_LINE = 30.0
"""Seconds that a write waits for the ones before it: who asked has to hear something."""


class Store:
    """The controller's database, its events and its audit record.

    Made by `open`. Writes are serialised: in this process by a lock, between processes by the database's.
    """

    def __init__(
        self, database: Database, *, leadership: Leadership | None = None, queue: int = 1000
    ) -> None:
        self._database = database
        self._leadership = leadership
        self.turn = Turn()
        self._writer: asyncio.Task[Any] | None = None
        self._outages = Outages(database.name)
        self.events = EventLog(journal.Journal(self.read), queue=queue)

    @classmethod
    async def open(cls, url: str, hub_id: str, leadership: Leadership | None = None) -> Self:
        """Open the database and bring it to the newest form.

        Parameters
        ----------
        url
            SQLAlchemy's: ``sqlite:////path`` (made when it does not exist) or ``postgresql://…``.
        hub_id
            Of this installation; a database keeps the first one it was opened with.
        leadership
            Looked at before each write, where several controllers share the database.

        Raises
        ------
        StoreError
            The database is newer than the program or belongs to another hub.
        StoreUnavailable
            It cannot be used: locked, full, damaged, read-only, away; the sentence says which.
        """
        database = Database(url)
        try:
            store = cls(database, leadership=leadership)
            with store._outages.noticed("write", connecting=True):
                async with database.writing.begin() as connection:
                    await database.exclude(connection)
                    await connection.run_sync(upgrade, database.name)
            await store._claim(hub_id)
        except BaseException:
            await database.close()
            raise
        return store

    async def _claim(self, hub_id: str) -> None:
        async with self.write(Actor.system(), "store.open", "store", audit=False) as tx:
            known = await tx.session.get(MetaRow, "hub_id")
            if known is None:
                tx.session.add(MetaRow(key="hub_id", value=hub_id))
                await journal.begin(tx.session, self._database)
            elif known.value != hub_id:
                raise StoreError(
                    f"The database {self._database.name} belongs to the hub {known.value}, and this is"
                    f" {hub_id}: give this hub a database of its own, or restore its own hub_id file."
                )
        async with self.read() as session:
            self.events.resync(await journal.last_id(session))

    async def close(self) -> None:
        """End all subscriptions, wait for the write in progress and close the connections."""
        self.events.close()
        async with self.turn:
            await self._database.close()

    @property
    def problem(self) -> str:
        """Why the database cannot be used now, as far as is known without asking it; empty when it can."""
        return self._outages.reason

    async def check(self) -> str:
        """Read and write something, and return why that cannot be done; empty when it can."""
        try:
            async with self.write(Actor.system(), "store.check", "store", audit=False) as tx:
                await tx.session.merge(MetaRow(key=_CHECKED, value=datetime.now(UTC).isoformat()))
        except StoreUnavailable as error:
            return error.detail
        return ""

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that sees one moment of the database, whatever is written meanwhile.

        Raises
        ------
        StoreUnavailable
            The database cannot be read.
        """
        async with AsyncSession(self._database.reading, expire_on_commit=False) as session:
            with self._outages.noticed("read", connecting=True):
                await session.connection()
            with self._outages.noticed("read"):
                yield session
        self._outages.works("read")

    @asynccontextmanager
    async def write(
        self,
        actor: Actor,
        action: str,
        subject: str,
        *,
        details: dict[str, Any] | None = None,
        outcome: str = "accepted",
        audit: bool = True,
    ) -> AsyncIterator[Transaction]:
        """Yield a transaction: committed at the end of the block, undone where the block fails.

        While a block runs no other write does: nothing slow belongs into it, least of all a call to a host.

        Parameters
        ----------
        actor
            Who acts.
        action
            ``machine.start``, …
        subject
            ``machine/<id>``, …
        details
            What else the audit record shall say; no secrets.
        outcome
            ``accepted`` or ``refused``.
        audit
            False for the controller's own steps: no audit record, events still.

        Raises
        ------
        RuntimeError
            The task is writing already: it would wait for itself.
        StoreUnavailable
            The database cannot be written; nothing was.
        """
        task = asyncio.current_task()
        if task is not None and self._writer is task:
            raise RuntimeError("a write inside a write: pass the transaction on instead")
        async with self._in_line():
            self._writer = task
            try:
                async with self._begun() as session:
                    tx = Transaction(session, actor, details=dict(details or {}))
                    with self._outages.noticed("write"):
                        yield tx
                        if audit:
                            session.add(_record(actor, action, subject, outcome, tx.details))
                        await _to_the_end(self._commit(tx))
            finally:
                self._writer = None

    @asynccontextmanager
    async def _in_line(self) -> AsyncIterator[None]:
        """Wait for the writes before this one, not for ever."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(LONGEST_LINE):
                    await stack.enter_async_context(self.turn)
            except TimeoutError:
                raise StoreUnavailable(
                    self.problem
                    or f"The database {self._database.name} is too slow: a write waited {LONGEST_LINE:g} s "
                    "for those before it and was not done. Try again, and look for what keeps its disk busy."
                ) from None
            yield

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncSession]:
        """Yield a session with a transaction that excludes every other writer."""
        async with AsyncSession(self._database.writing, expire_on_commit=False) as session:
            with self._outages.noticed("write", connecting=True):
                connection = await session.connection()
                await self._database.exclude(connection)
                if self._leadership is not None:
                    await self._leadership.check(connection)
            yield session

    async def _commit(self, tx: Transaction) -> None:
        tx.session.add_all(tx.events)
        try:
            await tx.session.flush()
            await tx.session.commit()
        except BaseException:
            await self._look_again()
            raise
        self._outages.works("write")
        self.events.publish([journal.to_model(row) for row in tx.events])

    async def _look_again(self) -> None:
        """Find out what a commit wrote whose answer was lost."""
        try:
            async with self.read() as session:
                self.events.resync(await journal.last_id(session))
        except StoreUnavailable:
            return  # the commit's own error is the one to raise

    async def prune(self, *, keep: int = EVENTS_KEPT, days: float = EVENT_DAYS) -> int:
        """Throw away events that are older than `days` or more than `keep`; return how many went.

        Operations that ended `OPERATION_DAYS` ago go too; the audit record stays.
        """
        async with self.write(Actor.system(), "events.prune", "events", audit=False) as tx:
            await operations.prune(tx.session, days=OPERATION_DAYS)
            return await journal.prune(tx.session, keep=keep, days=days)


def _record(actor: Actor, action: str, subject: str, outcome: str, details: dict[str, Any]) -> AuditRow:
    return AuditRow(
        actor=actor.name,
        action=action,
        subject=subject,
        outcome=outcome,
        address=actor.address,
        request_id=actor.request_id,
        details=details,
    )


async def _to_the_end(work: Any) -> None:
    """Do not let a cancelled request leave a commit of which nobody knows whether it happened."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:  # noqa: BLE001, S110 - raised below, by the task itself
            pass
    task.result()
    if cancelled:
        raise asyncio.CancelledError
