"""What the appliance costs: its size, and how long its recipe takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deployment.settings import ROOT

from bench.installation import BenchFailed


def measure(cache: Path, *, build: bool) -> dict[str, Any]:
    """Return size and build time of the default appliance.

    Parameters
    ----------
    cache
        Where it was built.
    build
        Build it once more, in an empty cache, with the clock on.
    """
    manifest = json.loads(Path(built(cache)).read_text())
    found = {
        "title": manifest["title"],
        "version": manifest["version"],
        "size_mib": manifest["size"] / 2**20,
        "virtual_size_mib": manifest["virtual_size_mib"],
        "debian_packages": len(manifest.get("packages", [])),
        "python_packages": len(manifest.get("python_packages", [])),
        "build_seconds": manifest.get("build_seconds"),
    }
    if build:
        # Beside the cache: the same disk, and a temporary folder may be too small.
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="cernvmbench-", dir=cache.parent) as empty:
            began = time.monotonic()
            built(Path(empty))
            found["build_seconds"] = time.monotonic() - began
    return found


def built(cache: Path) -> str:
    """Build the appliance if the cache has none, and return the path of its manifest."""
    command = [sys.executable, str(ROOT / "appliance" / "build"), "default", "--cache", str(cache)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BenchFailed("The appliance could not be built; see above.")
    return done.stdout.strip()
