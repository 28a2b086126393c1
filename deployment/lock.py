"""One deployment runs once: locks that the kernel lets go of when their holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from deployment.settings import SettingsError

if TYPE_CHECKING:
    from deployment.settings import Settings


class RunsAlready(Exception):
    """Somebody else holds a lock; `pid` is theirs."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"process {pid or 'unknown'} holds {path}")
        self.pid = pid


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):  # not to be seen from here, or an account without a name
        return "somebody else"


def take(path: Path) -> TextIO:
    """Take the lock and write this process's id into it; it is held until the file is closed.

    Raises
    ------
    RunsAlready
        When somebody else holds it.
    SettingsError
        When it is another account's: it cannot be told from here whether they hold it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError:
        raise SettingsError(
            f"{path} belongs to {_owner(path)}: a CernVM Hub with these names runs in that account, or ran "
            "there. Choose other names for yours (STATE, HUB_NAME, PORT and SUBNET); where nothing runs any "
            "more, that account or an administrator may remove the file."
        ) from None
    file = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        written = file.read().strip()
        file.close()
        raise RunsAlready(path, int(written) if written.isdecimal() else None) from None
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def of_state(settings: Settings) -> Path:
    """Return the lock of one state."""
    return settings.state / "run.lock"


def of_name(settings: Settings) -> Path:
    """Return the lock of one name on this machine: two states must not share libvirt objects."""
    return Path("/run/lock") / f"cernvmhub-{settings.name}.lock"
