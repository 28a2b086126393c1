"""What runs here: versions, disk space and the ends of the logs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGES = ("cernvmhub", "jupyterhub", "libvirt-python", "sqlalchemy", "tornado", "aiosqlite", "asyncpg")
_LINES = 3000
MACHINE_LOGS = Path("/var/log/libvirt/qemu")


def versions() -> dict[str, Any]:
    """Return what is installed here."""
    found: dict[str, Any] = {"python": sys.version, "kernel": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    try:
        found["system"] = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        found["system"] = None
    found["cpus"], found["load"] = os.cpu_count(), os.getloadavg()
    return found


def disks(paths: Iterable[Path]) -> dict[str, Any]:
    """Return how much room there is where each path lies, in bytes."""
    found: dict[str, Any] = {}
    for path in paths:
        try:
            usage = shutil.disk_usage(path)
            found[str(path)] = {"total": usage.total, "used": usage.used, "free": usage.free}
        except OSError as error:
            found[str(path)] = error.strerror
    return found


def tail(path: Path) -> str:
    """Return the last lines of a log."""
    with path.open(errors="replace") as file:
        return "".join(deque(file, maxlen=_LINES))
