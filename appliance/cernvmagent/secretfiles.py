"""The files of a session, in memory, for the server's user alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cernvmagent.protocol import SecretFile


def write(files: Iterable[SecretFile], folder: str, owner: tuple[int, int]) -> None:
    """Write the files of a session, after removing those of the last one.

    Parameters
    ----------
    files
        Their paths are below the folder.
    folder
        Made when it is missing; only the owner can look into it.
    owner
        User and group id.
    """
    clear(folder)
    _folder(folder, owner)
    for file in files:
        below = os.path.relpath(os.path.dirname(file.path), folder)
        place = folder
        for name in below.split("/") if below != "." else ():
            place = f"{place}/{name}"
            _folder(place, owner)
        # Never through a link that is already there.
        fd = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as out:
            out.write(file.content)
            os.fchmod(out.fileno(), file.mode)
            os.fchown(out.fileno(), *owner)


def clear(folder: str) -> None:
    """Remove everything below a folder."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(f"{place}/{name}")
        for name in folders:
            path = f"{place}/{name}"
            if os.path.islink(path):
                os.unlink(path)
            else:
                os.rmdir(path)


def _folder(path: str, owner: tuple[int, int]) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if os.path.islink(path):
            raise
    os.chown(path, *owner, follow_symlinks=False)
    os.chmod(path, 0o700)
