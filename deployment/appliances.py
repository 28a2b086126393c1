"""The appliances of one machine: built where the cache does not have them yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from cernvmcontroller.statedir import write_private
from deployment import debian
from deployment.settings import ROOT

if TYPE_CHECKING:
    from deployment.settings import Settings

KINDS = ("default", "tiny", "layer")
"""The notebook appliance, the guest that probes acceleration, and our own packages on top of the first."""


class BuildFailed(Exception):
    """An appliance could not be built; its builder has said why."""


def ensure(settings: Settings) -> dict[str, str]:
    """Build what is missing, write down where each appliance is, and return that.

    Raises
    ------
    BuildFailed
        When one cannot be built.
    """
    paths = {}
    for kind in KINDS:
        command = [sys.executable, str(ROOT / "appliance" / "build"), kind, "--cache", str(settings.cache)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        root = debian.prefix()
        if done.returncode != 0 and root:
            # Files in an image belong to many users: what is not in the cache yet is made as root.
            done = subprocess.run([*root, *command], stdout=subprocess.PIPE, text=True, check=False)
            debian.as_root(
                "The cache of appliances must be this account's.",
                ["chown", "--recursive", f"{os.getuid()}:{os.getgid()}", str(settings.cache)],
            )
        if done.returncode != 0:
            raise BuildFailed(f"The appliance {kind!r} could not be built; see above.")
        paths[kind] = done.stdout.strip()
    write_private(settings.appliances, json.dumps(paths, indent=2) + "\n")
    return paths
