"""Screens and keyboards of domains, through libvirt."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import libvirt

from cernvmapi.errors import HypervisorFailed
from cernvmcontroller.hypervisor import graphics
from cernvmcontroller.hypervisor.screens import HOLD, LARGEST_SCREENSHOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.hypervisor.connection import Connection
    from cernvmcontroller.hypervisor.interface import ByteStream

_CHUNK = 256 * 1024
_PNG = "image/png"


class Display:
    """The verbs of `~cernvmcontroller.hypervisor.screens.Screens` on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._way = graphics.way(connection)

    @property
    def graphics_refusal(self) -> str:
        """Why there is no way to a VNC server."""
        return self._way.refusal

    async def open_graphics(self, uuid: str) -> ByteStream:
        """Connect to a VNC server."""
        return await self._way.open(uuid)

    async def screenshot(self, uuid: str) -> bytes:
        """Return what is on the screen, as PNG."""
        return await self._connection.call(lambda connection: _take(connection, uuid), slow=True)

    async def send_keys(self, uuid: str, chords: Sequence[tuple[int, ...]]) -> None:
        """Press keys."""
        for chord in chords:
            await self._connection.call(partial(_press, uuid=uuid, keys=chord))
            # QEMU keeps what comes faster in a queue of its own, and loses what is too much for it.
            await asyncio.sleep(2 * HOLD)


def _take(connection: Any, uuid: str) -> bytes:
    domain = connection.lookupByUUIDString(uuid)
    stream = connection.newStream()
    kind = domain.screenshot(stream, 0)
    if kind != _PNG:
        stream.abort()
        raise HypervisorFailed(f"The host makes screenshots as {kind}; PNG takes QEMU 7.1 or newer.")
    picture = bytearray()
    while chunk := stream.recv(_CHUNK):
        picture += chunk
        if len(picture) > LARGEST_SCREENSHOT:
            stream.abort()
            raise HypervisorFailed("The machine's screen is larger than what is passed on.")
    stream.finish()
    return bytes(picture)


def _press(connection: Any, *, uuid: str, keys: tuple[int, ...]) -> None:
    domain = connection.lookupByUUIDString(uuid)
    domain.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, round(HOLD * 1000), list(keys), len(keys), 0)
