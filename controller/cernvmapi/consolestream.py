"""Consoles of machines as byte streams, for code that waits and for code that awaits."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect as connect_sync

from cernvmapi import wire
from cernvmapi.consoles import TICKET_PREFIX, ConsoleGreeting, ConsoleKind, ConsolePosition
from cernvmapi.errors import CernVMError, ControllerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from websockets.asyncio.client import ClientConnection as AsyncConnection
    from websockets.sync.client import ClientConnection

    from cernvmapi.consoles import ConsoleTicket
    from cernvmapi.wire import Settings

_CHUNK = 32 * 1024
"""Bytes that are sent at once; the controller takes no more than twice as many."""


class Console:
    """What both kinds of console know.

    Attributes
    ----------
    truncated
        Whether some of what a serial console showed before is lost.
    ended
        Why the console ended, in a sentence; empty while it has not.
    """

    def __init__(self) -> None:
        self.truncated = False
        self.ended = ""
        self._stream: str | None = None
        self._offset = 0

    @property
    def position(self) -> ConsolePosition | None:
        """How far a serial console was read; opened again with ``after=`` this it goes on there."""
        if self._stream is None:
            return None
        return ConsolePosition(stream=self._stream, offset=self._offset)

    def _greeted(self, message: str | bytes) -> None:
        greeting = msgspec.json.decode(message, type=ConsoleGreeting)
        self._stream, self._offset, self.truncated = greeting.stream, greeting.offset, greeting.truncated

    def _came(self, message: str | bytes) -> bytes:
        data = message.encode() if isinstance(message, str) else message
        self._offset += len(data)
        return data

    def _closed(self, error: ConnectionClosed) -> None:
        self.ended = (error.rcvd.reason if error.rcvd else "") or "The connection was lost."


class ConsoleStream(Console):
    """An open console; iterate it, or read."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__()
        self._socket = socket

    def read(self, timeout: float | None = None) -> bytes:
        """Return the next bytes; ``b""`` at the end.

        Parameters
        ----------
        timeout
            Seconds to wait for them, after which `TimeoutError` is raised; None: for ever.
        """
        try:
            return self._came(self._socket.recv(timeout))
        except ConnectionClosed as error:
            self._closed(error)
            return b""

    def write(self, data: bytes) -> None:
        """Send `data`.

        Raises
        ------
        ConnectionError
            The console has ended; `ended` says why.
        """
        try:
            for begin in range(0, len(data), _CHUNK):
                self._socket.send(data[begin : begin + _CHUNK])
        except ConnectionClosed as error:
            self._closed(error)
            raise ConnectionResetError(self.ended) from error

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data


class AsyncConsoleStream(Console):
    """An open console; iterate it, or await what it reads."""

    def __init__(self, socket: AsyncConnection) -> None:
        super().__init__()
        self._socket = socket

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` at the end."""
        try:
            return self._came(await self._socket.recv())
        except ConnectionClosed as error:
            self._closed(error)
            return b""

    async def write(self, data: bytes) -> None:
        """Send `data`; raises as `ConsoleStream.write` does."""
        try:
            for begin in range(0, len(data), _CHUNK):
                await self._socket.send(data[begin : begin + _CHUNK])
        except ConnectionClosed as error:
            self._closed(error)
            raise ConnectionResetError(self.ended) from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data


@contextmanager
def opened(settings: Settings, ticket: ConsoleTicket) -> Iterator[ConsoleStream]:
    """Yield the console that a ticket is for.

    Raises
    ------
    CernVMError
        What the controller answered, or that it did not.
    """
    url = settings.websocket_url(ticket.socket)
    try:
        socket = connect_sync(url, **_options(settings, ticket))
    except (OSError, InvalidHandshake) as error:
        raise _refusal(url, error) from error
    with socket:
        console = ConsoleStream(socket)
        if ticket.kind is ConsoleKind.SERIAL:
            try:
                console._greeted(socket.recv())  # noqa: SLF001
            except ConnectionClosed as error:
                raise _ended(error) from error
        yield console


@asynccontextmanager
async def opened_async(settings: Settings, ticket: ConsoleTicket) -> AsyncIterator[AsyncConsoleStream]:
    """Yield the console that a ticket is for; raises as `opened` does."""
    url = settings.websocket_url(ticket.socket)
    try:
        socket = await connect_async(url, **_options(settings, ticket))
    except (OSError, InvalidHandshake) as error:
        raise _refusal(url, error) from error
    async with socket:
        console = AsyncConsoleStream(socket)
        if ticket.kind is ConsoleKind.SERIAL:
            try:
                console._greeted(await socket.recv())  # noqa: SLF001
            except ConnectionClosed as error:
                raise _ended(error) from error
        yield console


def _options(settings: Settings, ticket: ConsoleTicket) -> dict[str, Any]:
    return {
        "subprotocols": [ticket.protocol, TICKET_PREFIX + ticket.ticket],
        "additional_headers": {"Authorization": f"Bearer {settings.token}"},
        "user_agent_header": wire.user_agent(),
        "ssl": settings.context() if settings.url.startswith("https:") else None,
        "compression": None,
        # As for all other requests: proxies of the environment are not for the controller.
        "proxy": None,
        "open_timeout": wire.SOCKET_TIMEOUT,
    }


def _refusal(url: str, error: Exception) -> CernVMError:
    if isinstance(error, InvalidStatus):
        answer = error.response
        request = httpx.Request("GET", url)
        return wire.failure(
            httpx.Response(answer.status_code, content=bytes(answer.body or b""), request=request)
        )
    where = urlsplit(url)
    return ControllerUnreachable(
        f"The controller at {where.netloc} does not answer ({error}). Try again in a moment; if it lasts, "
        "ask the administrator whether it runs."
    )


def _ended(error: ConnectionClosed) -> CernVMError:
    return ControllerUnreachable((error.rcvd.reason if error.rcvd else "") or "The connection was lost.")
