"""A relay before a daemon's socket that can fall silent or hang up, as networks and hosts do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAEMON = "/run/libvirt/libvirt-sock"


class Relay:
    """Passes bytes both ways while it is told to.

    Parameters
    ----------
    path
        The socket that it listens on.
    """

    def __init__(self, path: Path) -> None:
        self.uri = f"qemu+unix:///system?socket={path}"
        self._path = path
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    def fall_silent(self) -> None:
        """Keep all connections and pass nothing on."""
        self._speaking.clear()

    def speak(self) -> None:
        """Pass bytes on again."""
        self._speaking.set()

    async def hang_up(self) -> None:
        """End all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(DAEMON)
        self._writers |= {writer, ours}
        for source, sink in ((reader, ours), (theirs, writer)):
            task = asyncio.ensure_future(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await self._speaking.wait()
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()


@contextlib.asynccontextmanager
async def relay(path: Path) -> AsyncIterator[Relay]:
    """Return a relay that listens."""
    made = Relay(path)
    await made.listen()
    try:
        yield made
    finally:
        await made.hang_up()
