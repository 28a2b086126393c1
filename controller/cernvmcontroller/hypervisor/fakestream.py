"""Byte streams in memory, for the fake hypervisor."""

from __future__ import annotations

import asyncio


class MemoryStream:
    """One end of a two-way stream; `pair` makes both."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._peer: MemoryStream | None = None
        self.closed = False

    @classmethod
    def pair(cls) -> tuple[MemoryStream, MemoryStream]:
        """Return the two ends."""
        one, other = cls(), cls()
        one._peer, other._peer = other, one
        return one, other

    @property
    def peer(self) -> MemoryStream:
        """The other end."""
        assert self._peer is not None
        return self._peer

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` once either end is closed and all was read."""
        if self.closed and self._incoming.empty():
            return b""
        data = await self._incoming.get()
        if not data:
            self._incoming.put_nowait(b"")
        return data

    async def write(self, data: bytes) -> None:
        """Hand `data` to the other end."""
        if self.closed or self._peer is None:
            raise ConnectionResetError("The stream is closed.")
        if data:
            self._peer._incoming.put_nowait(data)  # noqa: SLF001 - the other end of the same thing

    async def close(self) -> None:
        """Close both ends."""
        self.shut()

    def shut(self) -> None:
        """Close both ends, from code that cannot wait."""
        for end in (self, self._peer):
            if end is not None and not end.closed:
                end.closed = True
                end._incoming.put_nowait(b"")  # noqa: SLF001
