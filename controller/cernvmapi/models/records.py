"""What happens and what happened: operations, events, the audit record."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import field

from cernvmapi.models.base import Problem, Sent


class OperationStatus(StrEnum):
    """The life of an operation."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Operation(Sent, frozen=True, kw_only=True):
    """A long-running request, with progress, result and cancel."""

    id: str
    action: str
    """``machine.start``, ``machine.delete``, …"""
    subject: str
    """``machine/<id>``, …"""
    actor: str
    request_id: str | None = None
    """The request that began it, as log and audit record name it."""
    owner: str | None = None
    """Whose subject it is: they may see it too."""
    status: OperationStatus
    progress: int = 0
    message: str = ""
    error: Problem | None = None
    cancellable: bool = False
    created: datetime
    finished: datetime | None = None


class Event(Sent, frozen=True, kw_only=True):
    """Something that happened; ids grow and never repeat, so a stream can be resumed after any of them."""

    id: int
    type: str
    """``machine.changed``, ``machine.deleted``, ``operation.changed``, ``host.changed``, ``volume.changed``,
    ``volume.deleted``, ``appliance.changed``, ``feed.changed``, …"""
    subject: str
    owner: str | None = None
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    """The object as it is after the event, in its own model's shape."""


class AuditRecord(Sent, frozen=True, kw_only=True):
    """Who did what to which object, when, from where."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str = "accepted"
    address: str | None = None
    request_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
