"""The small JSON volume beside a home, which says whose it is: a lost database is rebuilt from it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING

import msgspec

from cernvmapi.errors import NotFound
from cernvmcontroller import naming

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.store.tables import VolumeRow

LARGEST = 64 * 1024
"""Bytes that are read of one."""


class Sidecar(msgspec.Struct, frozen=True):
    """What it says; version 1 had no `owner_id`."""

    hub_id: str
    id: str
    owner: str
    server_name: str
    created: datetime
    owner_id: str | None = None
    version: int = 2


def encode(hub_id: str, home: VolumeRow) -> bytes:
    """Return what is written beside a home."""
    return msgspec.json.encode(
        Sidecar(
            hub_id=hub_id,
            id=home.id,
            owner=home.owner or "",
            server_name=home.server_name or "",
            created=home.created,
            owner_id=home.owner_id,
        )
    )


async def write(hypervisor: Hypervisor, hub_id: str, home: VolumeRow) -> None:
    """Bring what is beside a home to what the database says; nothing is written where it says so already.

    Who is ended between the two steps leaves none, and the next start of a machine with this home makes it.

    Raises
    ------
    HostUnreachable, HypervisorFailed
        It may not have been written.
    """
    name, content = naming.sidecar_volume(home.id), encode(hub_id, home)
    try:
        known = await hypervisor.read_volume(home.pool, name, LARGEST)
    except NotFound:
        known = b""
    if known.rstrip(b"\0") == content:
        return
    await hypervisor.delete_volume(home.pool, name)
    await hypervisor.upload_volume(home.pool, name, content, format="raw")


def decode(raw: bytes) -> Sidecar:
    """Return what a sidecar of any version says.

    Raises
    ------
    msgspec.MsgspecError
        It is none.
    """
    return msgspec.json.decode(raw.rstrip(b"\0"), type=Sidecar)
