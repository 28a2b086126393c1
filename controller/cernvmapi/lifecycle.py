"""What is asked of machines beside starting and ending them, and of many machines at once."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from cernvmapi.models import Operation, Received, Sent, Slug

Reason = Annotated[str, Meta(max_length=1000)]
MachineId = Annotated[str, Meta(min_length=1, max_length=64)]

BulkVerb = Literal["start", "shutdown", "poweroff", "reboot", "suspend", "resume", "reset", "delete"]


class LockRequest(Received, frozen=True, kw_only=True):
    """A machine must stay as it is until it is unlocked."""

    reason: Reason = ""


class StoreRequest(Received, frozen=True, kw_only=True):
    """A machine's memory shall go to its host's disk, and the machine off."""

    lock: bool = True
    """And it must stay so until it is unlocked."""
    reason: Reason = ""


class MoveRequest(Received, frozen=True, kw_only=True):
    """A machine shall go to another host."""

    host: Slug | None = None
    """Id or name of the host; None: the one that placement chooses."""


class BulkRequest(Received, frozen=True, kw_only=True):
    """One verb for many machines."""

    action: BulkVerb
    ids: Annotated[list[MachineId], Meta(min_length=1, max_length=500)]
    preview: bool = False
    """Only say what would become of it."""


class BulkResult(Sent, frozen=True, kw_only=True):
    """What became of the verb for one machine, or would."""

    id: str
    name: str | None = None
    """None where there is no such machine, or the caller must not see it."""
    possible: bool
    reason: str = ""
    """Why it is not possible."""
    operation: Operation | None = None
    """None for a preview, and where it is not possible."""
