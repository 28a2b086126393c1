"""Runs the tools that build images, and says which Debian package brings a missing one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PACKAGES = {
    "cpio": "cpio",
    "mcopy": "mtools",
    "mformat": "mtools",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "syslinux": "syslinux",
    "zstd": "zstd",
}
"""Which Debian package brings a tool."""

SBIN = "/usr/sbin:/sbin"


class BuildFailed(Exception):
    """An image could not be built; the sentence says why and, where it can, what to do."""


def progress(message: str) -> None:
    """Tell the person who waits what happens, on standard error: standard output is the result."""
    sys.stderr.write(f"appliance: {message}\n")
    sys.stderr.flush()


def require(*tools: str) -> None:
    """Fail with the packages to install when a tool is missing."""
    missing = sorted({PACKAGES[tool] for tool in tools if find(tool) is None})
    if missing:
        raise BuildFailed(f"These Debian packages are needed: apt install {' '.join(missing)}")


def find(tool: str) -> str | None:
    """Path of a tool, the administrator's folders included."""
    return shutil.which(tool) or shutil.which(tool, path=SBIN)


def run(
    *command: str | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> bytes:
    """Run a tool to its end.

    Returns
    -------
    bytes
        What it wrote to standard output.

    Raises
    ------
    BuildFailed
        With the end of what it said, when it fails.
    """
    words: Sequence[str] = [str(word) for word in command]
    program = find(words[0]) or words[0]
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, no shell
            [program, *words[1:]], input=stdin, env=env, cwd=cwd, capture_output=True, check=False
        )
    except OSError as error:
        raise BuildFailed(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()[-15:]
        raise BuildFailed(f"{words[0]} failed ({done.returncode}):\n  " + "\n  ".join(said))
    return done.stdout
