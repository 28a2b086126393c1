"""Viewings: what one viewer sees of a machine's console and sends to it, as two-way bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cernvmapi.consoles import ConsoleGreeting
from cernvmapi.errors import Conflict
from cernvmcontroller.consoles.rfb import ViewerInput

if TYPE_CHECKING:
    from cernvmapi.consoles import ConsolePosition
    from cernvmcontroller.consoles.serial import Consoles
    from cernvmcontroller.hypervisor.interface import ByteStream

_CHUNK = 32 * 1024


class TooSlow(Conflict):
    """The viewer took so little for so long that what it has not seen is no longer kept."""


class Viewing(Protocol):
    """A byte stream to a viewer; nothing is kept for them beyond what they are just reading."""

    @property
    def greeting(self) -> ConsoleGreeting | None:
        """What is said before the first byte; None: nothing."""
        ...

    async def read(self) -> bytes:
        """Return what is to be shown next; ``b""`` at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Take what the viewer sends."""
        ...

    async def close(self) -> None:
        """End; a waiting `read` returns."""
        ...


class SerialViewing:
    """A serial console: first what is kept of it, then what comes.

    Parameters
    ----------
    after
        Where an earlier viewing ended; None: everything that is kept is shown.
    """

    def __init__(
        self, consoles: Consoles, machine: str, *, view_only: bool, after: ConsolePosition | None
    ) -> None:
        self._consoles = consoles
        self._machine = machine
        self._view_only = view_only
        ring = consoles.ring(machine)
        known = after is not None and after.stream == consoles.id and after.offset <= ring.end
        seen = after.offset if after is not None and known else ring.start
        self._offset = max(seen, ring.start)
        lost = ring.truncated if after is None else not known or seen < ring.start
        self.greeting = ConsoleGreeting(stream=consoles.id, offset=self._offset, truncated=lost)
        self._closed = False

    async def read(self) -> bytes:
        """Return what comes next.

        Raises
        ------
        TooSlow
            What comes next is no longer kept.
        """
        while not self._closed and (ring := self._consoles.kept(self._machine)) is not None:
            if not ring.start <= self._offset <= ring.end:
                raise TooSlow("The console was read too slowly, and some of it is lost. Connect again.")
            if data := ring.since(self._offset)[:_CHUNK]:
                self._offset += len(data)
                return data
            await self._consoles.heard(self._machine)
        return b""

    async def write(self, data: bytes) -> None:
        """Type."""
        if not self._view_only:
            await self._consoles.write(self._machine, data)

    async def close(self) -> None:
        """End."""
        self._closed = True
        self._consoles.tell(self._machine)


class ScreenViewing:
    """A screen: a connection to the VNC server of this viewer's own."""

    greeting: ConsoleGreeting | None = None

    def __init__(self, stream: ByteStream, *, view_only: bool) -> None:
        self._stream = stream
        self._input = ViewerInput(view_only=view_only)

    async def read(self) -> bytes:
        """Return what the VNC server says."""
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        """Pass on what may be passed on."""
        if passed := self._input.feed(data):
            await self._stream.write(passed)

    async def close(self) -> None:
        """Hang up."""
        await self._stream.close()
