"""Ids and the names made from them.

What people type (user names, server names, titles) never ends in the name of a domain or a volume: those are
derived from random ids. An id is made once, persisted before anything exists under it, and tells its kind by
its prefix.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from uuid import UUID, uuid5

from cernvmapi.models import VolumeKind

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 12
_ID = rf"[a-z]-[a-z2-7]{{{_LENGTH}}}"


def new_id(prefix: str) -> str:
    """Return a new random id: `prefix`, a dash and 12 characters of base 32 (60 bits).

    Parameters
    ----------
    prefix
        One letter: ``m`` machine, ``v`` volume, ``o`` operation, ``s`` session, ``h`` host.
    """
    return f"{prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))}"


def is_id(text: str, prefix: str) -> bool:
    """Return whether `text` is an id of the kind `prefix`, as `new_id` makes them."""
    return re.fullmatch(_ID, text) is not None and text.startswith(f"{prefix}-")


def domain_uuid(hub_id: str, machine_id: str) -> str:
    """Return the UUID of a machine's domain: UUIDv5 of the machine id in the hub's namespace."""
    return str(uuid5(UUID(hub_id), machine_id))


def domain_name(hub_name: str, machine_id: str) -> str:
    """Return the name of a machine's domain."""
    return f"{hub_name}-{machine_id}"


def base_volume(sha256: str) -> str:
    """Return the volume name of an appliance's base: named by its content, so it never changes."""
    return f"base-{sha256}.qcow2"


def layer_volume(sha256: str) -> str:
    """Return the volume name of the hub's own layer."""
    return f"layer-{sha256[:32]}.iso"


def disk_volume(machine_id: str) -> str:
    """Return the volume name of a machine's own disk, an overlay on its base."""
    return f"disk-{machine_id}.qcow2"


def seed_volume(machine_id: str) -> str:
    """Return the volume name of the image with a machine's context."""
    return f"seed-{machine_id}.iso"


def home_volume(volume_id: str) -> str:
    """Return the volume name of a home."""
    return f"home-{volume_id}.qcow2"


def sidecar_volume(volume_id: str) -> str:
    """Return the name of the small JSON volume that says whose home a home is."""
    return f"home-{volume_id}.json"


@dataclass(frozen=True)
class VolumeName:
    """What a volume's name says about it."""

    kind: VolumeKind
    id: str
    """Machine id, volume id or digest."""
    sidecar: bool = False


_VOLUMES = (
    (VolumeKind.BASE, re.compile(r"base-([0-9a-f]{64})\.qcow2")),
    (VolumeKind.LAYER, re.compile(r"layer-([0-9a-f]{32})\.iso")),
    (VolumeKind.DISK, re.compile(rf"disk-({_ID})\.qcow2")),
    (VolumeKind.SEED, re.compile(rf"seed-({_ID})\.iso")),
    (VolumeKind.HOME, re.compile(rf"home-({_ID})\.qcow2")),
)
_SIDECAR = re.compile(rf"home-({_ID})\.json")


def parse_volume(name: str) -> VolumeName | None:
    """Return what a volume of ours is, or None for a name that the hub does not give."""
    if match := _SIDECAR.fullmatch(name):
        return VolumeName(VolumeKind.HOME, match[1], sidecar=True)
    for kind, pattern in _VOLUMES:
        if match := pattern.fullmatch(name):
            return VolumeName(kind, match[1])
    return None
