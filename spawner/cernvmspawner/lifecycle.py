"""From a request to a machine that serves, and back to nothing: what a spawner asks of the controller.

A user's server is (owner, server name) and the controller creates at most one machine for it, so a start that
was interrupted anywhere finds what it left behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, TypeVar

from cernvmapi.errors import (
    Busy,
    CernVMError,
    Conflict,
    ControllerUnreachable,
    NotFound,
    StartFailed,
    StoreUnavailable,
    error_from,
)
from cernvmapi.models import (
    Machine,
    MachineCreate,
    Operation,
    OperationStatus,
    Power,
    Session,
    Status,
    Target,
)

if TYPE_CHECKING:
    from cernvmapi.client import AsyncClient
    from cernvmspawner.watcher import MachineWatcher

RETRY = 2.0
"""Seconds between attempts while the controller does not answer."""

AWAY = (ControllerUnreachable, Busy, StoreUnavailable)
"""What says nothing about a machine, and passes: the controller restarts, its database is new or away."""

IN_THE_WAY = frozenset({Status.STARTING, Status.RUNNING, Status.STOPPING, Status.FAILED, Status.DELETING})
"""States of a leftover that cannot be taken over: its server has an old token, or is broken."""

T = TypeVar("T")

MakeSession = Callable[[Machine], Awaitable[Session]]


class MachineGone(StartFailed):
    """The machine was deleted or stopped by somebody while it started."""

    code = StartFailed.code


async def obtain(
    watcher: MachineWatcher, request: MachineCreate, *, keep: bool, patience: float, again: bool = True
) -> Machine:
    """Return a machine for a start: a new one, or one of the same kind that was left and is off.

    Parameters
    ----------
    keep
        A leftover of the same kind keeps its disk: it is switched off, not replaced.
    patience
        Seconds to wait for what is in the way.
    again
        Get out of the way what is in it, and try once more.
    """
    client = watcher.client
    try:
        machine = await client.machines.create(request)
        in_the_way = [machine] if machine.status in IN_THE_WAY else []
    except Conflict:
        in_the_way = [
            one
            for one in await client.machines.all(owner=request.owner)
            if one.server_name == request.server_name
        ]
        keep = False
        if not again or not in_the_way:
            raise
    if not in_the_way or (keep and not again):
        watcher.note(machine)
        return machine
    for one in in_the_way:
        if keep and one.status is not Status.DELETING:
            watcher.log.info("Switching off %s, left %s by an earlier start", one.id, one.status)
            await stop(watcher, one.id, now=True, grace=0, patience=patience)
        else:
            watcher.log.info("Replacing %s, left %s by an earlier start", one.id, one.status)
            await remove(watcher, one.id, patience=patience)
    return await obtain(watcher, request, keep=keep, patience=patience, again=False)


async def start(watcher: MachineWatcher, machine: Machine, make_session: MakeSession) -> Machine:
    """Start a machine and return it when its notebook server answers.

    The session is made as soon as the address is known, which its certificate names; it is sent (again)
    whenever the controller says that it does not hold it.

    Raises
    ------
    CernVMError
        Why it does not run.
    """
    client = watcher.client
    session = await make_session(machine) if machine.address else None
    operation = await client.machines.start(machine.id, session)
    following = asyncio.ensure_future(_until_serving(watcher, machine, session, make_session))
    watching = asyncio.ensure_future(_until_failed(client, operation))
    try:
        await asyncio.wait([following, watching], return_when=asyncio.FIRST_COMPLETED)
        if not following.done():
            # An operation that is not known any more says nothing; the machine itself says the rest.
            with suppress(NotFound):
                watching.result()
                watcher.note(await client.machines.get(machine.id))
        return await following
    finally:
        for task in (following, watching):
            task.cancel()
        await asyncio.gather(following, watching, return_exceptions=True)


async def _until_serving(
    watcher: MachineWatcher, machine: Machine, session: Session | None, make_session: MakeSession
) -> Machine:
    since, begun = machine.revision, False
    sent_for, sent_at = (machine.address if session else None), machine.revision
    async with aclosing(watcher.follow(machine.id)) as changes:
        async for now in changes:
            if now is None:
                raise MachineGone("The machine was deleted while it started. Start the server again.")
            begun = begun or now.target is Target.RUNNING
            if now.revision <= since or not begun:
                continue
            if now.status is Status.FAILED or (now.error and now.target is not Target.RUNNING):
                raise failure_of(now)  # the second: what the start made is still being removed
            if now.target is not Target.RUNNING:
                raise MachineGone("The machine was stopped while it started. Start the server again.")
            if now.status is Status.RUNNING and now.address:
                return now
            moved = now.address != sent_for
            if now.address and (moved or (now.awaiting_session and now.revision > sent_at)):
                # Refused when it is not the moment: the next change is another chance.
                with suppress(Conflict):
                    noted = await send_session(watcher, now, make_session)
                    sent_for, sent_at = now.address, max(now.revision, noted.revision)
    raise MachineGone("The machine is no longer watched.")  # pragma: no cover - a follower never ends


async def send_session(watcher: MachineWatcher, machine: Machine, make_session: MakeSession) -> Machine:
    """Send the session of a machine (again) and return what the controller makes of it."""
    session = await make_session(machine)
    answer = await _patiently(lambda: watcher.client.machines.put_session(machine.id, session))
    watcher.note(answer)
    return answer


async def _until_failed(client: AsyncClient, operation: Operation) -> None:
    """Return when an operation succeeded; raise why it did not."""
    ended = await _patiently(lambda: client.operations.wait(operation.id))
    if ended.status is OperationStatus.CANCELLED:
        raise MachineGone("The start was cancelled. Start the server again.")
    if ended.status is OperationStatus.FAILED:
        raise error_from(ended.error) if ended.error else StartFailed(ended.message)


async def _patiently(call: Callable[[], Awaitable[T]], patience: float = float("inf")) -> T:
    """Make a call again while the controller is away, or does not know its machines yet."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await call()
        except AWAY:
            if time.monotonic() + RETRY > deadline:
                raise
            await asyncio.sleep(RETRY)


def failure_of(machine: Machine) -> CernVMError:
    """Return why a machine is `FAILED`."""
    if machine.error:
        return error_from(machine.error)
    return StartFailed("The machine did not start, and its controller does not know why.")


async def console_of(client: AsyncClient, machine_id: str) -> str:
    """Return the end of a machine's console, or nothing: a failure must not hide behind another one."""
    try:
        async with asyncio.timeout(5):
            return (await client.machines.console(machine_id)).text
    except (CernVMError, TimeoutError):
        return ""


async def cancel_starts(client: AsyncClient, machine_id: str) -> None:
    """Cancel what is under way for a machine, so that its removal need not wait for it."""
    page = await client.operations.list(status=OperationStatus.RUNNING, subject=f"machine/{machine_id}")
    for operation in page.items:
        if operation.cancellable and operation.action == "machine.start":
            with suppress(Conflict, NotFound):
                await client.operations.cancel(operation.id)


async def stop(watcher: MachineWatcher, machine_id: str, *, now: bool, grace: float, patience: float) -> None:
    """Shut a machine down and return when it is off; one that is gone is off.

    Parameters
    ----------
    now
        Do not ask the machine.
    grace
        Seconds for the machine to shut down by itself, before it is switched off.
    patience
        Seconds for all of it.
    """
    machines = watcher.client.machines
    deadline = time.monotonic() + patience
    try:
        machine = await _patiently(lambda: machines.get(machine_id), patience)
        watcher.note(machine)
        if machine.status is Status.STARTING:
            await cancel_starts(watcher.client, machine_id)
        if is_off(machine):
            return
        if not now and machine.status is not Status.STARTING:
            with suppress(Conflict, TimeoutError, *AWAY):
                await machines.shutdown(machine_id, wait=True, timeout=grace)
                watcher.note(await machines.get(machine_id))
                return
        try:
            await _patiently(
                lambda: machines.poweroff(
                    machine_id, wait=True, timeout=max(1.0, deadline - time.monotonic())
                ),
                deadline - time.monotonic(),
            )
        except Conflict:
            # It went off by itself in between.
            if not is_off(await machines.get(machine_id)):
                raise
        watcher.note(await machines.get(machine_id))
    except NotFound:
        watcher.forget(machine_id)


def is_off(machine: Machine) -> bool:
    """Tell whether nothing of a machine runs. Unknown is not off."""
    if machine.power is Power.UNKNOWN:
        return False
    if machine.status in {Status.STOPPED, Status.PENDING}:
        return machine.target is not Target.RUNNING
    return machine.status is Status.FAILED and machine.power is Power.OFF


async def remove(watcher: MachineWatcher, machine_id: str, *, patience: float) -> None:
    """Delete a machine, whatever it does, and return when it is gone; its home stays."""
    machines = watcher.client.machines
    deadline = time.monotonic() + patience
    try:
        with suppress(*AWAY):
            await cancel_starts(watcher.client, machine_id)
        await _patiently(
            lambda: machines.delete(machine_id, wait=True, timeout=max(1.0, deadline - time.monotonic())),
            patience,
        )
    except NotFound:
        pass
    watcher.forget(machine_id)
