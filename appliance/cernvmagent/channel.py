"""The virtio-serial port: bytes to and from a controller that comes and goes."""

from __future__ import annotations

import os
import select
import stat
import time
from typing import TYPE_CHECKING, Any

from cernvmagent import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

PORTS = "/sys/class/virtio-ports"
RETRY = 1.0
"""Seconds before a port that is not there is looked for again."""

QUEUED = 4 * protocol.MAX_LINE
"""Bytes that wait for the controller to read; beyond it, it does not read at all."""


def open_port(name: str = protocol.PORT_NAME, ports: str = PORTS) -> int:
    """Open the virtio-serial port of this name; no udev has to have run.

    Raises
    ------
    OSError
        When the machine has none.
    """
    for port in sorted(os.listdir(ports)):
        with open(f"{ports}/{port}/name", encoding="utf-8") as file:
            if file.read().strip() == name:
                return os.open(f"/dev/{port}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    raise FileNotFoundError(f"This machine has no virtio port {name}.")


class Channel:
    """Lines over a port.

    The device stays open while no controller is connected: reading then ends at once and writing would block,
    so both wait for the port's hang-up condition to pass. Whatever is not a device is opened again.
    """

    def __init__(self, opener: Callable[[], int]) -> None:
        self._opener = opener
        self._fd: int | None = None
        self._lines = protocol.Lines()
        self._out = bytearray()
        self._cut = False
        self._next_try = 0.0
        self.connected = False
        self.sessions = 0
        """How often a controller connected."""

    def fileno(self) -> int | None:
        """Return what to poll, None while there is nothing to wait for but time."""
        return self._fd if self.connected else None

    @property
    def interest(self) -> int:
        """Which events to poll for."""
        return select.POLLIN | (select.POLLOUT if self._out else 0)

    def send(self, message: dict[str, Any]) -> None:
        """Say something; lost when nobody listens, as `hello` will tell the same later."""
        if not self.connected:
            return
        line = protocol.encode(message)
        if len(self._out) + len(line) <= QUEUED:
            self._out += line
        self._flush()

    def step(self) -> list[bytes]:
        """Do what can be done without waiting: notice who is there, read, write.

        Returns
        -------
        list of bytes
            The lines that arrived.
        """
        if self._fd is None:
            self._open()
        if self._fd is None or not self._look():
            return []
        self._flush()
        return self._read()

    def close(self) -> None:
        """Close the port."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None
        self._hung_up()

    def _open(self) -> None:
        if time.monotonic() < self._next_try:
            return
        try:
            self._fd = self._opener()
            os.set_blocking(self._fd, False)
        except OSError:
            self._fd = None
            self._next_try = time.monotonic() + RETRY

    def _look(self) -> bool:
        """Find out whether a controller is there."""
        assert self._fd is not None
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        events = poll.poll(0)
        gone = bool(events) and bool(events[0][1] & (select.POLLHUP | select.POLLERR | select.POLLNVAL))
        if gone and not (events[0][1] & select.POLLIN and self.connected):
            self._lose()
            return False
        if not gone and not self.connected:
            self.connected = True
            self.sessions += 1
            if self._cut:
                # The last controller left in the middle of a line: its rest is over here.
                self._out += b"\n"
                self._cut = False
        return True

    def _read(self) -> list[bytes]:
        lines: list[bytes] = []
        while self._fd is not None:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                break
            except OSError:
                self._lose()
                break
            if not data:
                self._lose()
                break
            lines += self._lines.feed(data)
        return lines

    def _flush(self) -> None:
        while self._out and self._fd is not None:
            try:
                sent = os.write(self._fd, self._out[:65536])
            except BlockingIOError:
                return
            except OSError:
                self._lose()
                return
            self._cut = not self._out[:sent].endswith(b"\n")
            del self._out[:sent]

    def _lose(self) -> None:
        """Forget a controller that went away."""
        if self._fd is not None and not stat.S_ISCHR(os.fstat(self._fd).st_mode):
            self.close()
        self._hung_up()

    def _hung_up(self) -> None:
        self.connected = False
        self._lines.clear()
        self._out.clear()
