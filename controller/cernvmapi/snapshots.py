"""Snapshots of machines."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from typing import Annotated

from msgspec import Meta

from cernvmapi.models import Received, Sent

SnapshotName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$(?!\n)", max_length=40)]


class Snapshot(Sent, frozen=True, kw_only=True):
    """What a machine was at some time."""

    name: str
    created: datetime
    memory: bool
    """The machine ran; what it did then goes on when it is brought back."""
    current: bool = False
    """What the machine is now was made from it."""


class SnapshotRequest(Received, frozen=True, kw_only=True):
    """What a machine is now shall be kept."""

    name: SnapshotName | None = None
    """None: the time."""


class RevertRequest(Received, frozen=True, kw_only=True):
    """A machine shall be again what it was."""

    snapshot: SnapshotName
