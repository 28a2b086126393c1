"""Operations as the API sees them: look at, wait for, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from cernvmapi.errors import Conflict
from cernvmapi.models import Operation, OperationStatus, Page
from cernvmcontroller.store import Actor, Store, operations

Cancel = Callable[[Actor, str, str], Awaitable[None]]
"""Cancels what is under way for a thing: actor, the thing's id, operation id."""


class Operations:
    """Long work under way and done.

    Parameters
    ----------
    cancels
        By the action of operations.
    """

    def __init__(self, store: Store, cancels: Mapping[str, Cancel]) -> None:
        self._store = store
        self._cancels = cancels

    async def get(self, operation_id: str) -> Operation:
        """Return one operation."""
        async with self._store.read() as session:
            return operations.to_model(await operations.get(session, operation_id))

    async def page(
        self,
        *,
        owner: str | None = None,
        status: Collection[OperationStatus] = (),
        subject: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Operation]:
        """Return one page, the newest first."""
        wanted = operations.OperationQuery(
            owner=owner, statuses=tuple(status), subject=subject, limit=limit, cursor=cursor
        )
        async with self._store.read() as session:
            found = await operations.page(session, wanted)
        return Page(
            items=[operations.to_model(row) for row in found.rows],
            total=found.total,
            next=found.next,
            event_id=found.event_id,
        )

    async def wait(self, operation_id: str, seconds: float) -> Operation:
        """Return the operation when it is finished, or as it is after `seconds`."""
        news = self._store.events.subscribe(types={"operation.changed"})
        found = await self.get(operation_id)
        try:
            async with asyncio.timeout(seconds):
                while found.status is OperationStatus.RUNNING:
                    event = await anext(news)
                    if event.subject in (f"operation/{operation_id}", "events"):
                        found = await self.get(operation_id)
        except (TimeoutError, StopAsyncIteration):
            return await self.get(operation_id)
        finally:
            news.close()
        return found

    async def cancel(self, actor: Actor, operation_id: str) -> Operation:
        """Ask a running operation to end; what it did is undone.

        Raises
        ------
        Conflict
            It cannot be cancelled, or not any more.
        """
        found = await self.get(operation_id)
        if found.status is not OperationStatus.RUNNING:
            raise Conflict(f"The operation has ended already: it {found.status.value}.")
        if not found.cancellable:
            raise Conflict(f"{found.action} cannot be cancelled; it ends by itself.")
        thing = found.subject.partition("/")[2]
        await self._cancels[found.action](actor, thing, operation_id)
        return await self.get(operation_id)
