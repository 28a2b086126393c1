"""The serial consoles of machines: one stream a machine, kept in a ring, shown to and written by many.

libvirt gives a console to one reader at a time; this is that reader for as long as the machine runs.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError
from cernvmcontroller import naming, trace
from cernvmcontroller.consoles.ring import Ring
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cernvmcontroller.hypervisor.interface import ByteStream

_RETRY = 2.0
_WRITE_TIMEOUT = 10.0
"""Seconds after which a machine that takes nothing from its console is thought not to read it."""
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


class Consoles:
    """The consoles of all running machines.

    Offsets count the bytes of a machine's console for as long as this object lives; `id` names the counting.
    """

    def __init__(self) -> None:
        self.id = naming.new_id("c")
        self._rings: dict[str, Ring] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._streams: dict[str, ByteStream] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._bells: dict[str, asyncio.Event] = {}

    def follow(self, machine: str, opener: Callable[[], Awaitable[ByteStream]]) -> None:
        """Read the machine's console until `leave`; opened again where the stream ends. Idempotent."""
        if machine not in self._readers:
            self.ring(machine)
            self._readers[machine] = asyncio.create_task(
                self._read(machine, opener), name=f"console {machine}"
            )

    def ring(self, machine: str) -> Ring:
        """Return the ring of a console, a new one where there is none."""
        return self._rings.setdefault(machine, Ring())

    def kept(self, machine: str) -> Ring | None:
        """Return the ring of a console; None of a machine that is gone."""
        return self._rings.get(machine)

    def restart(self, machine: str) -> None:
        """Forget what an earlier boot wrote; the counting goes on."""
        self._rings[machine] = Ring(start=self.ring(machine).end)

    async def leave(self, machine: str) -> None:
        """Stop reading; what was read is kept."""
        reader = self._readers.pop(machine, None)
        if reader is not None:
            await end([reader])

    def forget(self, machine: str) -> None:
        """Drop what was read of a machine that is gone."""
        self._rings.pop(machine, None)
        self._turns.pop(machine, None)
        self.tell(machine)

    def text(self, machine: str) -> tuple[str, bool]:
        """Return what is kept of a console, and whether there was more."""
        ring = self._rings.get(machine)
        return (readable(ring.data()), ring.truncated) if ring else ("", False)

    def tail(self, machine: str, lines: int = 40) -> str:
        """Return the last lines of a console."""
        return tail(self.text(machine)[0], lines)

    async def heard(self, machine: str) -> None:
        """Return when a console's ring is not what it was, or a viewer of it shall look anew."""
        await self._bells.setdefault(machine, asyncio.Event()).wait()

    def tell(self, machine: str) -> None:
        """Wake whoever waits in `heard`."""
        bell = self._bells.pop(machine, None)
        if bell is not None:
            bell.set()

    async def write(self, machine: str, data: bytes) -> None:
        """Send `data` to a machine, as if it came over its serial line; one writer after the other.

        Raises
        ------
        ConnectionError
            The console is not open, or the machine reads nothing from it.
        """
        async with self._turns.setdefault(machine, asyncio.Lock()):
            stream = self._streams.get(machine)
            if stream is None:
                raise ConnectionResetError("The console is not open now.")
            try:
                async with asyncio.timeout(_WRITE_TIMEOUT):
                    await stream.write(data)
            except TimeoutError:
                await stream.close()
                raise ConnectionResetError("The machine reads nothing from its console.") from None
            except asyncio.CancelledError:
                await stream.close()  # else what is left of it would pile up with each writer who goes away
                raise

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
                self._streams[machine] = stream
                try:
                    while data := await stream.read():
                        self.ring(machine).add(data)
                        self.tell(machine)
                finally:
                    del self._streams[machine]
                    await stream.close()
            await asyncio.sleep(_RETRY)
