"""Which bases and layers nobody needs any more: pure rules, and how long one has been unused."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from lxml import etree

from cernvmapi.models import VolumeKind
from cernvmcontroller import naming

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from cernvmcontroller.hypervisor.interface import VolumeState

KEY = "bases.unused"
"""Row of `MetaRow`: a `Record` of when each base and layer was first seen unused."""

Record = dict[str, dict[str, datetime]]
"""Pool → name of a volume → since when nothing needs it."""


def is_source(name: str) -> bool:
    """Return whether a volume's name is one of a base or a layer: what can be brought again."""
    parsed = naming.parse_volume(name)
    return parsed is not None and parsed.kind in (VolumeKind.BASE, VolumeKind.LAYER)


def unused(volumes: Collection[VolumeState], offered: Collection[str], files: Collection[str]) -> set[str]:
    """Return the names of the bases and layers of a pool that nothing needs.

    Parameters
    ----------
    volumes
        All finished volumes of the pool, whoever made them.
    offered
        Names of the bases of the repository and of the current layer.
    files
        Paths that domains refer to, of all domains of all hosts of the pool.
    """
    needed = {volume.backing for volume in volumes if volume.backing} | set(files)
    return {
        volume.name
        for volume in volumes
        if is_source(volume.name) and volume.name not in offered and volume.path not in needed
    }


def seen(record: Record, pool: str, names: Collection[str], now: datetime) -> Record:
    """Return the record after a look at a pool: what is needed again begins anew when it is not."""
    known = record.get(pool, {})
    return {**record, pool: {name: known.get(name, now) for name in sorted(names)}}


def due(record: Record, pool: str, now: datetime, keep: timedelta) -> list[str]:
    """Return what was unused in a pool for at least `keep`."""
    return sorted(name for name, since in record.get(pool, {}).items() if now - since >= keep)


def read(value: str | None) -> Record:
    """Return the record as it is kept in the database."""
    return msgspec.json.decode(value, type=Record) if value else {}


def write(record: Record) -> str:
    """Return the record as the database keeps it."""
    return msgspec.json.encode(record).decode()


def files_of(xml: str) -> set[str]:
    """Return the paths of all images that a domain's XML names, those below its disks included."""
    root = etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    return {str(node.get("file")) for node in root.iterfind("devices/disk//source[@file]")}
