"""The built interface, as files: whoever serves it to browsers asks here.

The sources are in ``widgets/js``. What is here needs nothing and knows nobody, so that the controller's page
and a notebook server give browsers the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["NAME", "NotBuilt", "View", "built", "read"]

FOLDER = Path(__file__).with_name("static")

NAME = r"[A-Za-z0-9-]{1,64}\.(?:js|css)"
"""Pattern of the names of all files; no other name leads anywhere."""

_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class NotBuilt(Exception):
    """Nothing was built in this checkout."""

    def __init__(self) -> None:
        super().__init__(
            "The interface is not built in this checkout. Run `make run`, or "
            "`.venv/bin/python -m deployment.interface build`."
        )


class View(NamedTuple):
    """One file for a browser."""

    content: bytes
    media_type: str


def built() -> bool:
    """Return whether there is an interface to serve."""
    return (FOLDER / "page.js").exists()


def read(name: str) -> View:
    """Return the file `name` of the interface.

    Raises
    ------
    NotBuilt
        When nothing is built.
    FileNotFoundError
        When there is no such file.
    """
    if not built():
        raise NotBuilt
    if not re.fullmatch(NAME, name):
        raise FileNotFoundError(name)
    path = FOLDER / name
    return View(path.read_bytes(), _MEDIA_TYPES[path.suffix])
