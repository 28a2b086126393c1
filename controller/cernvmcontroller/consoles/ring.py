"""The end of what a serial console wrote, with a count of all that ever came."""

from __future__ import annotations

LIMIT = 64 * 1024


class Ring:
    """The last `limit` bytes of a stream.

    Parameters
    ----------
    start
        Where the counting begins.
    """

    def __init__(self, limit: int = LIMIT, start: int = 0) -> None:
        self._limit = limit
        self._data = bytearray()
        self.start = start
        """Offset of the first byte that is kept."""
        self.truncated = False
        """Whether there was more."""

    @property
    def end(self) -> int:
        """Offset of the byte that comes next."""
        return self.start + len(self._data)

    def add(self, data: bytes) -> None:
        """Append, and forget the oldest where it is too much."""
        self._data += data
        surplus = len(self._data) - self._limit
        if surplus > 0:
            del self._data[:surplus]
            self.start += surplus
            self.truncated = True

    def since(self, offset: int) -> bytes:
        """Return what came after `offset`, which is no smaller than `start`."""
        return bytes(self._data[offset - self.start :])

    def data(self) -> bytes:
        """Return all that is kept."""
        return bytes(self._data)
