"""The end of what machines write to their serial consoles: one stream a machine, kept in a ring.

libvirt gives a console to one reader at a time; this is that reader for as long as the machine runs.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError
from cernvmcontroller import trace
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cernvmcontroller.hypervisor.interface import ByteStream

LIMIT = 64 * 1024
_RETRY = 2.0
_log = structlog.get_logger(__name__)

_ESCAPES = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"  # CSI
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC
    r"|\x1b[()][A-Za-z0-9]|\x1b[=>78cMc]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def readable(data: bytes) -> str:
    """Return console output as plain text: no escape sequences, no control characters but tab and newline."""
    text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def tail(text: str, lines: int = 40) -> str:
    """Return the last `lines` lines that say something."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


class Ring:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._data = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        """Append, and forget the oldest where it is too much."""
        self._data += data
        if len(self._data) > self._limit:
            del self._data[: len(self._data) - self._limit]
            self.truncated = True

    def text(self) -> str:
        """Return what is kept, readable."""
        return readable(bytes(self._data))


class Consoles:
    """The consoles of all running machines."""

    def __init__(self) -> None:
        self._rings: dict[str, Ring] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    def follow(self, machine: str, opener: Callable[[], Awaitable[ByteStream]]) -> None:
        """Read the machine's console until `leave`; opened again where the stream ends. Idempotent."""
        if machine not in self._readers:
            self._rings.setdefault(machine, Ring())
            self._readers[machine] = asyncio.create_task(
                self._read(machine, opener), name=f"console {machine}"
            )

    def restart(self, machine: str) -> None:
        """Forget what an earlier boot wrote."""
        self._rings[machine] = Ring()

    async def leave(self, machine: str) -> None:
        """Stop reading; what was read is kept."""
        reader = self._readers.pop(machine, None)
        if reader is not None:
            await end([reader])

    def forget(self, machine: str) -> None:
        """Drop what was read of a machine that is gone."""
        self._rings.pop(machine, None)

    def text(self, machine: str) -> tuple[str, bool]:
        """Return what is kept of a console, and whether there was more."""
        ring = self._rings.get(machine)
        return (ring.text(), ring.truncated) if ring else ("", False)

    def tail(self, machine: str, lines: int = 40) -> str:
        """Return the last lines of a console."""
        return tail(self.text(machine)[0], lines)

    async def close(self) -> None:
        """Stop reading all."""
        for machine in list(self._readers):
            await self.leave(machine)

    async def _read(self, machine: str, opener: Callable[[], Awaitable[ByteStream]]) -> None:
        trace.begin(machine=machine)  # it outlives the operation that opened it
        while True:
            try:
                stream = await opener()
            except CernVMError as error:
                _log.debug("console not open", reason=error.detail)
            else:
                try:
                    while data := await stream.read():
                        self._rings[machine].add(data)
                finally:
                    await stream.close()
            await asyncio.sleep(_RETRY)
