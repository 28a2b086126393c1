"""Ways to a domain's VNC server, which listens on a unix socket of its host and nowhere else.

Which way there is depends on the connection. A local daemon hands a connected socket over
(``virDomainOpenGraphicsFD``). Through a remote connection that call fails and takes the connection with it,
so it is never made there. A way to remote hosts (a unix socket forwarded by SSH, VeNCrypt over TLS) is one
more class with the same two members, and a line in `way`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import libvirt

from cernvmapi.errors import Conflict, HypervisorFailed

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.connection import Connection
    from cernvmcontroller.hypervisor.interface import ByteStream

_CHUNK = 64 * 1024
_FIRST = 0


class Way(Protocol):
    """How a domain's VNC server is reached."""

    refusal: str
    """Why it is not reached at all; empty where it is."""

    async def open(self, uuid: str) -> ByteStream:
        """Connect."""
        ...


def is_local(uri: str) -> bool:
    """Return whether a libvirt URI leads to a daemon on this machine, over its unix socket.

    A URI with a host is a remote one, over TLS where nothing else is said; so is one with a transport other
    than ``unix``, which needs no host (https://libvirt.org/uri.html).
    """
    parts = urlsplit(uri)
    _, _, transport = parts.scheme.partition("+")
    return not parts.netloc and transport in {"", "unix"}


def way(connection: Connection) -> Way:
    """Return the way that there is through a connection."""
    return Handed(connection) if is_local(connection.uri) else Nowhere()


class Nowhere:
    """There is none."""

    refusal = (
        "The machine is on a remote host, to whose screens the controller has no way yet. Use the serial "
        "console, or screenshots and keys."
    )

    async def open(self, uuid: str) -> ByteStream:  # noqa: ARG002
        """Say so."""
        raise Conflict(self.refusal)


class Handed:
    """The daemon hands a connected socket over."""

    refusal = ""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self, uuid: str) -> ByteStream:
        """Connect."""

        def hand_over(connection: Any) -> socket.socket:
            domain = connection.lookupByUUIDString(uuid)
            # In an object at once: a call that passes its deadline must not leave a descriptor open.
            return socket.socket(
                fileno=domain.openGraphicsFD(_FIRST, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
            )

        connected = await self._connection.call(hand_over)
        connected.settimeout(0)
        try:
            return SocketStream(*await asyncio.open_unix_connection(sock=connected))
        except OSError as error:
            connected.close()
            raise HypervisorFailed(f"The machine's screen cannot be reached: {error}.") from error


class SocketStream:
    """A connected socket as a byte stream; what is not read yet is left with the other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` when the other end is gone."""
        try:
            return await self._reader.read(_CHUNK)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        """Write all of `data`."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Close."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
