"""Volumes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cernvmapi.models.base import OwnerId, Received, Sent, UserName


class VolumeKind(StrEnum):
    """What a volume is for."""

    BASE = "base"
    DISK = "disk"
    SEED = "seed"
    HOME = "home"
    LAYER = "layer"


class Volume(Sent, frozen=True, kw_only=True):
    """A volume that the hub made in a pool."""

    id: str
    kind: VolumeKind
    name: str
    """Of the volume in libvirt."""
    pool: str
    owner: str | None = None
    server_name: str | None = None
    owner_id: str | None = None
    """Which account of the name `owner` a home is for; None: whoever has the name and starts first."""
    capacity_mib: int = 0
    allocation_mib: int | None = None
    machine: str | None = None
    """The machine that it is attached to."""
    created: datetime


class VolumeChange(Received, frozen=True, kw_only=True):
    """Whose home it shall be; what is None stays as it is."""

    owner: UserName | None = None
    server_name: Annotated[str, Meta(max_length=255)] | None = None
    owner_id: OwnerId | None = None
    """None: where an owner is named, whoever has that name and starts first."""
