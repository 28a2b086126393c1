"""The manifest beside an image: what it is, what is in it, and its checksum."""

from __future__ import annotations

import base64
import hashlib
import json
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from recipe.commands import run

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, description: Path, image: Path, **more: Any) -> Path:
    """Write ``manifest.json`` beside an image.

    Parameters
    ----------
    folder
        Where the image is and the manifest goes.
    description
        The recipe's ``appliance.toml``: the fields of the API's appliance that do not follow from the image.
    image
        The qcow2.
    more
        Further fields (packages, recipe, …).
    """
    fields: dict[str, Any] = tomllib.loads(description.read_text())
    with image.open("rb") as file:
        fields["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    logo = description.with_name("logo.svg")
    if logo.exists():
        fields["logo"] = "data:image/svg+xml;base64," + base64.b64encode(logo.read_bytes()).decode()
    known = json.loads(run("qemu-img", "info", "--output=json", image))
    fields["size"] = image.stat().st_size
    fields["virtual_size_mib"] = -(-known["virtual-size"] // (1024 * 1024))
    fields["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
    fields["file"] = image.name
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(fields | more, indent=1, ensure_ascii=False) + "\n")
    return manifest
