"""The store: one place through which everything is written."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.ext.asyncio import AsyncSession

from cernvmcontroller.events import EventLog
from cernvmcontroller.store import journal, operations
from cernvmcontroller.store.database import Database, StoreError
from cernvmcontroller.store.migrations import upgrade
from cernvmcontroller.store.tables import AuditRow, MetaRow
from cernvmcontroller.store.transaction import Actor, Transaction
from cernvmcontroller.store.turn import Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVENTS_KEPT = 100_000
EVENT_DAYS = 7
OPERATION_DAYS = 30


class Store:
    """The controller's database, its events and its audit record.

    Made by `open`. Writes are serialised: in this process by a lock, between processes by the database's.
    """

    def __init__(self, database: Database, *, queue: int = 1000) -> None:
        self._database = database
        self.turn = Turn()
        self._writer: asyncio.Task[Any] | None = None
        self.events = EventLog(journal.Journal(self.read), queue=queue)

    @classmethod
    async def open(cls, url: str, hub_id: str) -> Self:
        """Open the database and bring it to the newest form.

        Parameters
        ----------
        url
            SQLAlchemy's: ``sqlite:////path`` (made when it does not exist) or ``postgresql://…``.
        hub_id
            Of this installation; a database keeps the first one it was opened with.

        Raises
        ------
        StoreError
            The database is newer than the program or belongs to another hub.
        """
        database = Database(url)
        try:
            async with database.writing.begin() as connection:
                await database.exclude(connection)
                await connection.run_sync(upgrade, database.name)
            store = cls(database)
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

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that sees one moment of the database, whatever is written meanwhile."""
        async with AsyncSession(self._database.reading, expire_on_commit=False) as session:
            yield session

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
        """
        task = asyncio.current_task()
        if task is not None and self._writer is task:
            raise RuntimeError("a write inside a write: pass the transaction on instead")
        async with self.turn:
            self._writer = task
            try:
                async with AsyncSession(self._database.writing, expire_on_commit=False) as session:
                    await self._database.exclude(await session.connection())
                    tx = Transaction(session, actor, details=dict(details or {}))
                    yield tx
                    if audit:
                        session.add(_record(actor, action, subject, outcome, tx.details))
                    await _to_the_end(self._commit(tx))
            finally:
                self._writer = None

    async def _commit(self, tx: Transaction) -> None:
        tx.session.add_all(tx.events)
        try:
            await tx.session.flush()
            await tx.session.commit()
        except BaseException:
            await self._look_again()
            raise
        self.events.publish([journal.to_model(row) for row in tx.events])

    async def _look_again(self) -> None:
        """Find out what a commit wrote whose answer was lost."""
        try:
            async with self.read() as session:
                self.events.resync(await journal.last_id(session))
        except Exception:  # noqa: BLE001 - the database is away; the commit's own error is the one to raise
            return

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
