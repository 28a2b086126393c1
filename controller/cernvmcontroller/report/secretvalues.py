"""The secrets that are known on this machine, so that a report can be searched for them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from cernvmcontroller.report.redactor import SECRET_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST = 256 * 1024
_SUFFIXES = {".key", ".pem"}


def secrets(state: Path, database_url: str, *files: Path) -> Iterator[str]:
    """Yield secret values: of the state folder, of further files, of the environment and of the database.

    Parameters
    ----------
    state
        The state folder; files in it whose names say that they are secret, keys, and accounts.
    files
        Further files that hold a secret.
    """
    for path in [*_files(state), *files]:
        try:
            content = path.read_text(errors="replace")
        except OSError:
            continue
        yield content
        if path.suffix == ".json":
            yield from _of_json(content)
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            yield value
    password = make_url(database_url).password
    if password:
        yield str(password)


def _files(state: Path) -> Iterator[Path]:
    for path in sorted(state.rglob("*")) if state.is_dir() else ():
        secret = SECRET_NAME.search(path.name) or path.suffix in _SUFFIXES or path.name == "accounts.json"
        if secret and path.is_file() and path.stat().st_size <= _LARGEST:
            yield path


def _of_json(content: str) -> Iterator[str]:
    try:
        found: Any = json.loads(content)
    except ValueError:
        return
    heap = [found]
    while heap:
        match heap.pop():
            case dict() as some:
                yield from (str(value) for key, value in some.items() if SECRET_NAME.search(str(key)))
                heap += some.values()
            case list() as some:
                heap += some
