"""The verbs on machines beside starting and ending them, and on many machines at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.lifecycle import BulkRequest, BulkResult, BulkVerb, LockRequest, MoveRequest, StoreRequest
from cernvmapi.models import Machine, Operation, Page
from cernvmapi.snapshots import RevertRequest, Snapshot, SnapshotRequest
from cernvmapi.steps import pages, path, succeeded
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_ONCE = 500
"""Machines that the controller takes in one request."""


class LifecycleVerbs:
    """More of ``client.machines``."""

    @verb
    def suspend(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Have a machine stand still, its memory kept; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", path("machines", machine_id, "suspend"), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def resume(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Let a paused machine go on; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", path("machines", machine_id, "resume"), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def reset(self, machine_id: str, *, wait: bool = False, timeout: float | None = None) -> Steps[Operation]:
        """Reset a machine, nobody in it is asked; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", path("machines", machine_id, "reset"), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def store(
        self,
        machine_id: str,
        reason: str = "",
        *,
        lock: bool = True,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Steps[Operation]:
        """Write a machine's memory to its host's disk, switch it off, and lock it.

        Its next start goes on where it was. `wait` and `timeout` as for `start`.

        Parameters
        ----------
        reason
            Why, for those who wonder.
        lock
            It stays so until it is unlocked. A machine that serves a notebook is always locked.
        """
        body = StoreRequest(lock=lock, reason=reason)
        operation = yield Call("POST", path("machines", machine_id, "store"), Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def snapshots(self, machine_id: str) -> Steps[list[Snapshot]]:
        """Return a machine's snapshots, the oldest first."""
        return pages(path("machines", machine_id, "snapshots"), Snapshot, {})

    @verb
    def snapshot(
        self, machine_id: str, name: str | None = None, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Keep what a machine's disk and home hold now, and its memory if it runs.

        `wait` and `timeout` as for `start`.

        Parameters
        ----------
        name
            Letters, digits, dots, dashes; None: the time.
        """
        body = SnapshotRequest(name=name)
        operation = yield Call("POST", path("machines", machine_id, "snapshots"), Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def revert(
        self, machine_id: str, snapshot: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Bring a machine back to a snapshot: what its disk and its home got since is lost.

        `wait` and `timeout` as for `start`.
        """
        body = RevertRequest(snapshot=snapshot)
        operation = yield Call("POST", path("machines", machine_id, "revert"), Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def forget_snapshot(
        self, machine_id: str, name: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Delete one of a machine's snapshots; the machine stays what it is now.

        `wait` and `timeout` as for `start`.
        """
        where = path("machines", machine_id, "snapshots")
        operation = yield Call("DELETE", where, Operation, params(name=name))
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def move(
        self, machine_id: str, host: str | None = None, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Move a machine to another host, for administrators; a running one goes on running.

        `wait` and `timeout` as for `start`. A move is broken off by cancelling its operation.

        Parameters
        ----------
        host
            Id or name of the host; None: the one that placement chooses.
        """
        body = MoveRequest(host=host)
        operation = yield Call("POST", path("machines", machine_id, "move"), Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def lock(self, machine_id: str, reason: str = "") -> Call[Machine]:
        """Have a machine stay as it is until it is unlocked."""
        return Call("POST", path("machines", machine_id, "lock"), Machine, body=LockRequest(reason=reason))

    @verb
    def unlock(self, machine_id: str) -> Call[Machine]:
        """Unlock a machine; for who locked it, and administrators."""
        return Call("POST", path("machines", machine_id, "unlock"), Machine)

    @verb
    def act(
        self, action: BulkVerb, machine_ids: Iterable[str], *, preview: bool = False
    ) -> Steps[list[BulkResult]]:
        """Do the same with many machines; return what became of each, in their order.

        Parameters
        ----------
        action
            ``start``, ``shutdown``, ``poweroff``, ``reboot``, ``suspend``, ``resume``, ``reset``, ``delete``.
        preview
            Only say what would become of it.
        """
        ids, found = list(machine_ids), []
        for begin in range(0, len(ids), AT_ONCE):
            body = BulkRequest(action=action, ids=ids[begin : begin + AT_ONCE], preview=preview)
            page = yield Call("POST", "/machines/actions", Page[BulkResult], body=body)
            found += page.items
        return found
