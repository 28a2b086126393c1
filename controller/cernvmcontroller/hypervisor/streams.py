"""Libvirt's streams for asyncio: the agent's channel and the serial console.

The stream does not block and is served in libvirt's event thread, which hands bytes over to asyncio and
takes them from it. What arrives faster than it is read is left with libvirt, so that a guest cannot fill the
memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import libvirt

from cernvmapi.errors import CernVMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.connection import Connection

_READ = libvirt.VIR_STREAM_EVENT_READABLE
_WRITE = libvirt.VIR_STREAM_EVENT_WRITABLE
_END = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
_CHUNK = 64 * 1024
_HIGH = 1024 * 1024
_WOULD_BLOCK = -2


class LibvirtStream:
    """One open stream; made by `open_channel` and `open_console`."""

    def __init__(self, connection: Connection, stream: Any) -> None:
        self._connection = connection
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._ended = False
        self._mask = _READ | _END
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._forget: Callable[[], None] | None = None

    async def watch(self) -> None:
        """Begin to listen."""
        # A connection that breaks takes its streams along without a word to them.
        self._forget = self._connection.when_lost(self._end)
        await self._connection.call(
            lambda _: self._stream.eventAddCallback(self._mask, self._serve, None), lasting=True
        )

    # --- asyncio's side ---

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` when the other end is gone and all was read."""
        while True:
            with self._lock:
                paused = not self._ended and not self._mask & _READ
            if paused:
                with contextlib.suppress(ConnectionError):  # then it ended
                    await self._ask_for(_READ)
            with self._lock:
                data = bytes(self._incoming)
                self._incoming.clear()
                ended = self._ended
                self._arrived.clear()
            if data or ended:
                return data
            await self._arrived.wait()

    async def write(self, data: bytes) -> None:
        """Write all of `data`; return when libvirt has it."""
        with self._lock:
            if self._ended:
                raise ConnectionResetError("The stream is closed.")
            self._outgoing += data
            self._drained.clear()
        await self._ask_for(_WRITE)
        await self._drained.wait()
        with self._lock:
            if self._outgoing:
                raise ConnectionResetError("The stream was closed before all was written.")

    async def close(self) -> None:
        """Close; whoever waits to read or write is told."""
        with self._lock:
            if self._ended:
                return
        with contextlib.suppress(Exception):  # a connection that is gone took the stream with it
            await self._connection.call(lambda _: self._finish(abort=True), lasting=True)
        self._end()

    async def _ask_for(self, event: int) -> None:
        """Have libvirt say when it has something to read or takes something; end where it does not answer."""
        try:
            await self._connection.call(lambda _: self._update(event), lasting=True)
        except CernVMError as error:
            self._end()
            raise ConnectionResetError(error.detail) from error

    # --- libvirt's side, in its event thread or a worker ---

    def _update(self, wanted: int) -> None:
        with self._lock:
            if self._ended or self._mask & wanted:
                return
            self._mask |= wanted
            mask = self._mask
        self._stream.eventUpdateCallback(mask)

    def _drop(self, unwanted: int) -> None:
        with self._lock:
            self._mask &= ~unwanted
            mask = self._mask
        self._stream.eventUpdateCallback(mask)

    def _serve(self, _stream: Any, events: int, _opaque: object) -> None:
        try:
            if events & _READ:
                self._receive()
            if events & _WRITE:
                self._send()
            if events & _END:
                self._drain()
                self._finish(abort=True)
        except libvirt.libvirtError:
            self._finish(abort=True)

    def _receive(self) -> None:
        data = self._stream.recv(_CHUNK)
        if data == _WOULD_BLOCK:
            return
        if not data:
            self._finish(abort=False)
            return
        with self._lock:
            self._incoming += data
            full = len(self._incoming) >= _HIGH
        if full:
            self._drop(_READ)
        self._tell(self._arrived)

    def _drain(self) -> None:
        """Take what arrived before the end."""
        while (data := self._stream.recv(_CHUNK)) and data != _WOULD_BLOCK:
            with self._lock:
                self._incoming += data

    def _send(self) -> None:
        with self._lock:
            chunk = bytes(self._outgoing[:_CHUNK])
        if chunk:
            done = self._stream.send(chunk)
            if done == _WOULD_BLOCK:
                return
            with self._lock:
                del self._outgoing[:done]
        with self._lock:
            empty = not self._outgoing
        if empty:
            self._drop(_WRITE)
            self._tell(self._drained)

    def _finish(self, *, abort: bool) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.eventRemoveCallback()
        with contextlib.suppress(libvirt.libvirtError):
            if abort:
                self._stream.abort()
            else:
                self._stream.finish()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        if self._forget is not None:
            self._forget()
        self._arrived.set()
        self._drained.set()

    def _tell(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(event.set)


async def open_channel(connection: Connection, uuid: str, name: str) -> LibvirtStream:
    """Open a virtio-serial port of a running domain."""
    return await _open(
        connection,
        lambda domain, stream: domain.openChannel(name, stream, libvirt.VIR_DOMAIN_CHANNEL_FORCE),
        uuid,
    )


async def open_console(connection: Connection, uuid: str) -> LibvirtStream:
    """Open the serial console of a running domain."""
    return await _open(
        connection,
        lambda domain, stream: domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE),
        uuid,
    )


async def _open(connection: Connection, attach: Any, uuid: str) -> LibvirtStream:
    def make(libvirt_connection: Any) -> Any:
        domain = libvirt_connection.lookupByUUIDString(uuid)
        stream = libvirt_connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        attach(domain, stream)
        return stream

    opened = LibvirtStream(connection, await connection.call(make, lasting=True))
    await opened.watch()
    return opened
