"""How an entry of the catalogue stands to what is here: pure comparisons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from cernvmapi.models import CatalogueEntry, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cernvmapi.models import Appliance

_PARTS = re.compile(r"[0-9]+|[a-z]+")

VersionKey = list[tuple[int, int, str]]


def version_key(version: str) -> VersionKey:
    """Return by what versions are in order: numbers as numbers, and 1.0-rc1 before 1.0 before 1.0.1."""
    key: VersionKey = [
        (2, int(part), "") if part.isdigit() else (0, 0, part)
        for part in _PARTS.findall(version[:255].lower())
    ]
    return [*key, (1, 0, "")]


def compared(
    id_: str,
    entry: Entry,
    *,
    feed: str,
    feed_title: str,
    signed: bool,
    appliances: Sequence[Appliance],
    now: datetime,
) -> CatalogueEntry:
    """Return an entry with what the list says of it beyond what its feed does.

    Parameters
    ----------
    signed
        Whether the signature of the feed's content was checked.
    appliances
        Those of the repository, hidden ones included.
    """
    here = next((each.id for each in appliances if _same(id_, entry, each)), None)
    fields = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    return CatalogueEntry(
        **fields,
        id=id_,
        feed=feed,
        feed_title=feed_title,
        size=entry.enclosures[0].length if entry.enclosures else None,
        downloaded=here,
        newer=here is None and _newer(entry, appliances),
        expired=entry.expires is not None and entry.expires <= now,
        verified=signed,
    )


def _same(id_: str, entry: Entry, appliance: Appliance) -> bool:
    """Return whether an appliance is what an entry offers: by its checksum, else by where it came from."""
    digest = entry.enclosures[0].checksums.get("sha256") if entry.enclosures else None
    origin = appliance.origin
    if digest is not None:
        return digest in {appliance.sha256, origin.sha256 if origin else None}
    return origin is not None and origin.entry == id_ and appliance.version == entry.version


def _newer(entry: Entry, appliances: Sequence[Appliance]) -> bool:
    title = entry.title.casefold()
    same = [each for each in appliances if each.id == entry.appliance or each.title.casefold() == title]
    key = version_key(entry.version)
    return bool(entry.version and same) and all(version_key(each.version) < key for each in same)


def expiring(entry: Entry, expires: datetime | None) -> Entry:
    """Return an entry that lasts no longer than its feed does."""
    if expires is None or (entry.expires is not None and entry.expires <= expires):
        return entry
    return msgspec.structs.replace(entry, expires=expires)
