"""Flavors: sizes that an administrator offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cernvmapi.errors import Invalid
from cernvmapi.models import Flavor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_FLAVORS: list[dict[str, Any]] = [
    {
        "id": "small",
        "title": "Small",
        "vcpus": 1,
        "memory_mib": 1024,
        "disk_mib": 10240,
        "description": "To read and to write: one processor, 1 GiB of memory.",
    },
    {
        "id": "medium",
        "title": "Medium",
        "vcpus": 2,
        "memory_mib": 2048,
        "disk_mib": 20480,
        "description": "For an ordinary analysis: two processors, 2 GiB of memory.",
        "default": True,
    },
    {
        "id": "large",
        "title": "Large",
        "vcpus": 4,
        "memory_mib": 8192,
        "disk_mib": 40960,
        "description": "For large files and parallel work: four processors, 8 GiB of memory.",
    },
]


def load_flavors(entries: Sequence[Mapping[str, Any]], default: str | None = None) -> dict[str, Flavor]:
    """Return the configured flavors by id, exactly one of them the default.

    Parameters
    ----------
    entries
        Fields of `~cernvmapi.models.Flavor`.
    default
        Id of the default flavor; else the first entry that says it is, else the first.

    Raises
    ------
    Invalid
        An entry is not a flavor, an id is there twice, there is none, or the default does not exist.
    """
    flavors: dict[str, Flavor] = {}
    for entry in entries:
        try:
            flavor = msgspec.convert(dict(entry), Flavor)
        except msgspec.ValidationError as error:
            raise Invalid(f"The flavor {dict(entry).get('id', '?')} is not valid: {error}") from None
        if flavor.id in flavors:
            raise Invalid(f"There are two flavors with the id {flavor.id}; give each its own.")
        flavors[flavor.id] = flavor
    if not flavors:
        raise Invalid("There is no flavor; configure at least one.")
    chosen = default or next(
        (flavor.id for flavor in flavors.values() if flavor.default), next(iter(flavors))
    )
    if chosen not in flavors:
        raise Invalid(f"The default flavor {chosen} does not exist; there are {', '.join(flavors)}.")
    return {
        flavor.id: msgspec.structs.replace(flavor, default=flavor.id == chosen) for flavor in flavors.values()
    }
