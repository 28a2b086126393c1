"""The archive: every text passes the redactor, and a part that cannot be had does not spoil the others."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmcontroller.report.redactor import Redactor

Source = Callable[[], Awaitable[Any]]
"""Returns a text, or what JSON can hold."""
PATIENCE = 30.0


class Bundle:
    """What a report consists of.

    Parameters
    ----------
    redactor
        Takes out secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.parts: dict[str, str] = {}
        """Texts by the names of their files, without secrets."""

    async def collect(self, name: str, source: Source, patience: float = PATIENCE) -> None:
        """Add what a source gives, or why it gives nothing."""
        try:
            async with asyncio.timeout(patience):
                self.add(name, await source())
        except TimeoutError:
            self.add(name, f"This could not be had within {patience:g} s.\n")
        except Exception as error:  # noqa: BLE001 - whatever is broken is what the report is about
            self.add(name, f"This could not be had: {type(error).__name__}: {error}\n")

    def add(self, name: str, content: Any) -> None:
        """Add a text, or what JSON can hold."""
        text = content if isinstance(content, str) else json.dumps(self._redactor.values(content), indent=2)
        self.parts[self._redactor.text(name)] = self._redactor.text(text)

    def write(self, path: Path) -> None:
        """Write the archive; only its owner may read it.

        Raises
        ------
        FileExistsError
            There is such a file.
        """
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        folder = path.name.removesuffix(".tar.gz")
        with os.fdopen(fd, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in self.parts.items():
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
