"""Runs programs inside a root file system in the making."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipe.commands import BuildFailed, run

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
    # Cheap insurance against a builder's settings: what is installed is what is on disk.
    "PIP_NO_INDEX=1",
    "PIP_CONFIG_FILE=/dev/null",
)


def inside(root: Path, *command: str, stdin: bytes | None = None, accept_failure: bool = False) -> bytes:
    """Run a program of the root file system in it, with nothing of the builder's environment."""
    try:
        return run("chroot", root, "/usr/bin/env", "-i", *ENVIRONMENT, *command, stdin=stdin)
    except BuildFailed:
        if accept_failure:
            return b""
        raise
