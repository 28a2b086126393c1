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


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; whoever is ended meanwhile leaves the old one, or none.

    A file of a name of its own is written, brought to the disk, and put in the place of the old one.
    """
    partial = path.with_name(f".{path.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def ensure_folder(path: Path) -> None:
    """Make a state folder where there is none, and refuse one that is not for this account alone.

    Raises
    ------
    StateError
        Others may look into it, it is another account's, or it cannot be written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_open(path)
        if path.stat().st_uid != os.geteuid():
            raise StateError(
                f"{path} belongs to {_owner(path)}: run as that account, give the folder to this one with "
                f"chown, or use another one."
            )
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise StateError(f"{path} cannot be written by this account: chmod u+rwx {path}.")
    except OSError as error:
        raise StateError(
            f"The state folder {path} cannot be used ({error.strerror}): correct its rights and its place, "
            "or use another one."
        ) from None


def refuse_open(path: Path) -> None:
    """Refuse a file or folder of the state that others may read or write; nothing where it is not there.

    Raises
    ------
    StateError
        With the command that closes it.
    """
    try:
        open_to = path.stat().st_mode & 0o077
    except FileNotFoundError:
        return
    if open_to:
        only_mine = "go-rwx"
        raise StateError(
            f"Other accounts of this machine may read or change {path}, which holds secrets: "
            f"chmod {only_mine} {path}. Change the secrets too where somebody may have read them."
        )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"the account {path.stat().st_uid}"


def take_lock(path: Path) -> TextIO:
    """Return the lock, held for as long as the returned file is open.

    Raises
    ------
    StateError
        Another process holds it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, f"{text}\n")
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
