"""The fake hypervisor's screens: a VNC server in memory with one picture, and keys that are remembered."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict
from cernvmapi.models import Power
from cernvmcontroller.hypervisor.fakefaults import FaultyCalls, verb
from cernvmcontroller.hypervisor.interface import WrongState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.hypervisor.fakehost import FakeHost
    from cernvmcontroller.hypervisor.fakestream import MemoryStream
    from cernvmcontroller.hypervisor.interface import ByteStream

WIDTH, HEIGHT = 16, 8
_FORMAT = bytes((32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0))
_NAME = b"fake"
_UPDATE_REQUEST = 3


class FakeScreens(FaultyCalls):
    """What `~cernvmcontroller.hypervisor.screens.Screens` asks for; `FakeHypervisor` has the rest."""

    host: FakeHost
    graphics_refusal = ""
    """What a test wants it to say."""

    def __init__(self, uri: str, deadline: float) -> None:
        super().__init__(uri, deadline)
        self.pressed: list[tuple[int, ...]] = []
        """Every chord, in order."""
        self.screen_input = b""
        """What viewers sent after their handshakes."""
        self._streams: dict[tuple[str, str], MemoryStream] = {}
        self._agents: set[asyncio.Task[None]] = set()
        self._screens = 0

    def _open(self, uuid: str, name: str) -> tuple[MemoryStream, MemoryStream]:
        raise NotImplementedError

    def guest_console(self, uuid: str) -> ByteStream:
        """Return the guest's end of the console that is open."""
        return self._streams[uuid, "console"].peer

    @verb
    async def open_graphics(self, uuid: str) -> ByteStream:
        """Connect to the VNC server of a domain."""
        if self.graphics_refusal:
            raise Conflict(self.graphics_refusal)
        self._screens += 1
        ours, theirs = self._open(uuid, f"graphics {self._screens}")
        task = asyncio.ensure_future(self._show(theirs))
        self._agents.add(task)
        task.add_done_callback(self._agents.discard)
        return ours

    @verb
    async def screenshot(self, uuid: str) -> bytes:
        """Return a picture."""
        self._must_run(uuid)
        rows = (b"\0" + b"\x20\x40\x80" * WIDTH) * HEIGHT
        header = WIDTH.to_bytes(4) + HEIGHT.to_bytes(4) + bytes((8, 2, 0, 0, 0))
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)

    @verb
    async def send_keys(self, uuid: str, chords: Sequence[tuple[int, ...]]) -> None:
        """Remember the keys."""
        self._must_run(uuid)
        self.pressed += chords

    def _must_run(self, uuid: str) -> None:
        if self.host.domain(uuid).power is Power.OFF:
            raise WrongState("Requested operation is not valid: domain is not running")

    async def _show(self, stream: MemoryStream) -> None:
        """Speak RFB 3.8, without a password, and answer every request with the whole picture."""
        try:
            for said, size in ((b"RFB 003.008\n", 12), (b"\x01\x01", 1), (bytes(4), 1)):
                await stream.write(said)
                heard = b""
                while len(heard) < size:
                    if not (data := await stream.read()):
                        return
                    heard += data
            size_of_screen = WIDTH.to_bytes(2) + HEIGHT.to_bytes(2)
            await stream.write(size_of_screen + _FORMAT + len(_NAME).to_bytes(4) + _NAME)
            while data := await stream.read():
                self.screen_input += data
                if data[0] == _UPDATE_REQUEST:
                    pixels = b"\x80\x40\x20\0" * (WIDTH * HEIGHT)
                    await stream.write(b"\0\0\0\x01" + bytes(4) + size_of_screen + bytes(4) + pixels)
        except ConnectionError:
            return  # the viewer hung up


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
