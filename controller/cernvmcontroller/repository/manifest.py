"""Manifests: what is known of an appliance, in a JSON file beside its image."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cernvmapi.errors import Invalid
from cernvmapi.models import Appliance

_CHUNK = 4 * 1024 * 1024
MANIFEST = "manifest.json"
"""What the manifest of a downloaded appliance is called."""


@dataclass(frozen=True)
class Manifest:
    """An appliance and where its image is."""

    appliance: Appliance
    image: Path


class _File(msgspec.Struct):
    file: str


def load_manifest(path: Path) -> Manifest:
    """Read a manifest and check that it belongs to the image beside it, without reading the image.

    Raises
    ------
    Invalid
        It is not a manifest, or its image is missing or has another size.
    """
    try:
        text = path.read_bytes()
        appliance = msgspec.json.decode(text, type=Appliance)
        name = msgspec.json.decode(text, type=_File).file
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid(f"{path} is not the manifest of an appliance: {error}") from None
    if Path(name).name != name:
        raise Invalid(f"{path} names an image outside of its folder: {name}")
    image = path.parent / name
    try:
        size = image.stat().st_size
    except OSError:
        raise Invalid(
            f"The image {image} of the appliance {appliance.id} is missing; build it again."
        ) from None
    if size != appliance.size:
        raise Invalid(
            f"The image {image} has {size} bytes and its manifest says {appliance.size}; build it again."
        )
    return Manifest(appliance, image)


def write_manifest(folder: Path, appliance: Appliance, image: str) -> None:
    """Write the manifest of an appliance beside its image, and bring both to the disk."""
    said = {**msgspec.to_builtins(appliance), "file": image}
    path = folder / MANIFEST
    with path.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(said), indent=2))
        file.flush()
        os.fsync(file.fileno())


def verify(image: Path, sha256: str, stamps: Path) -> None:
    """Check that an image is what its manifest says, once for each state of the file.

    Blocks while it reads: call it in a thread.

    Parameters
    ----------
    stamps
        Folder in which a finished check is remembered, by digest, with the file's size and time of change.

    Raises
    ------
    Invalid
        The digest differs.
    """
    status = image.stat()
    seen = {"path": str(image), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    stamp = stamps / f"{sha256}.json"
    try:
        if json.loads(stamp.read_bytes()) == seen:
            return
    except (OSError, ValueError):
        pass
    digest = hashlib.sha256()
    with image.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise Invalid(
            f"The image {image} is damaged: its digest is not the one in its manifest. Build it again."
        )
    stamps.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(seen))
