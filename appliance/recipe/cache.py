"""Keeps what was built, under a hash of what it was built from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IN_THE_MAKING = ".making-"


def default_cache() -> Path:
    """Where images are kept unless told otherwise: the user's cache, shared by all checkouts."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "cernvmhub"


def recipe_hash(paths: Iterable[Path], root: Path) -> str:
    """Hash names, modes and contents of files and folders.

    Parameters
    ----------
    paths
        Files, and folders to take whole; compiled Python in them does not count.
    root
        Names are relative to it, so that two checkouts agree.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    files: set[Path] = set()
    for path in paths:
        files |= {path} if path.is_file() else {file for file in path.rglob("*") if not file.is_dir()}
    digest = hashlib.sha256()
    for file in sorted(files):
        if "__pycache__" in file.parts:
            continue
        content = os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
        # Git keeps the executable bit only: the rest of the mode is the umask of whoever checked out.
        mode = "l" if file.is_symlink() else "x" if file.stat().st_mode & 0o100 else "-"
        digest.update(f"{file.relative_to(root)}\0{mode}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@contextmanager
def made_once(target: Path) -> Iterator[Path | None]:
    """Make a folder or file under a lock, and show it under its name only when it is complete.

    Yields
    ------
    pathlib.Path or None
        Where to make it, in a temporary folder beside the target that may hold other things as well and is
        removed afterwards; it gets its name when the block ends. None when the target exists already.
    """
    cache = target.parent
    cache.mkdir(parents=True, exist_ok=True)
    kind = target.name.rsplit("-", 1)[0]
    with (cache / f".{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        # Whoever holds the lock is alone: what lies here was left by a build that was killed.
        for left in cache.glob(f"{IN_THE_MAKING}{kind}-*"):
            shutil.rmtree(left, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=f"{IN_THE_MAKING}{kind}-", dir=cache))
        try:
            result = making / target.name
            yield result
            result.replace(target)
        finally:
            shutil.rmtree(making, ignore_errors=True)
