"""The controller's state folder: whose it is, and that only one process uses it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, TextIO
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from pathlib import Path


class StateError(Exception):
    """The state cannot be used; the text says why and what to do."""


def take_lock(path: Path) -> TextIO:
    """Return the lock, held for as long as the returned file is open.

    Raises
    ------
    StateError
        Another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = file.read().strip() or "unknown"
        file.close()
        raise StateError(
            f"Another controller (process {holder}) uses {path.parent} already: end that one "
            "first, or give this "
            "one a state folder of its own."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def hub_id(path: Path) -> str:
    """Return the id of this installation, made at the first call.

    Raises
    ------
    StateError
        The file holds something else.
    """
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        text = str(uuid4())
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(f"{text}\n")
        new.replace(path)
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise StateError(
            f"{path} does not hold the id of an installation (a UUID). Restore it from a backup: "
            "machines and "
            "homes are known by it."
        ) from None


def known_hub_id(path: Path) -> str | None:
    """Return the id of this installation, None where it has none (any more)."""
    return hub_id(path) if path.exists() else None


def read_secret(path: Path) -> str:
    """Return the secret in a file.

    Raises
    ------
    StateError
        It is missing, empty, or may be read by others.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise StateError(f"{path} holds a secret and others may read it: chmod 600 {path}.")
        text = path.read_text().strip()
    except OSError as error:
        raise StateError(f"The secret {path} cannot be read: {error.strerror}.") from None
    if not text:
        raise StateError(f"The secret in {path} is empty.")
    return text
