"""A daemon's address on the network: tried before libvirt does, which waits there as long as it takes.

Libvirt has no deadline for connecting. Where the host is off, its attempt hangs for minutes; where the daemon
took the connection and fell silent, and the host then lost its power, it hangs for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor.refusal import explain

if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTS = {"tls": 16514, "tcp": 16509}
"""Of libvirt's daemons."""
_DAEMONS = {"qemu", "xen", "lxc", "ch", "bhyve", "vz", "test", "network", "storage"}
"""Drivers that a daemon has; the others' URIs name a server of another kind."""
_OWN_FILES = Path("/proc/self/fd")

Address = tuple[str, int]


@dataclass(frozen=True)
class Peer:
    """Where a daemon listens."""

    host: str
    port: int

    @classmethod
    def of(cls, uri: str) -> Self | None:
        """Return where a connection URI leads over the network; None where it goes in another way.

        By https://libvirt.org/uri.html: with a host and no transport, it is ``tls``.
        """
        try:
            parts = urlsplit(uri)
            driver, _, transport = parts.scheme.partition("+")
            port = parts.port
        except ValueError:  # libvirt says what is wrong with it
            return None
        default = _PORTS.get(transport or "tls")
        if not parts.hostname or driver not in _DAEMONS or default is None:
            return None
        return cls(parts.hostname, port or default)

    async def reach(self, seconds: float) -> Address:
        """Return the address at which somebody takes connections.

        Raises
        ------
        TimeoutError
            Nobody did within these seconds.
        HostUnreachable
            Nobody does, or there is no such name.
        """
        try:
            async with asyncio.timeout(seconds):
                _, writer = await asyncio.open_connection(self.host, self.port)
        except TimeoutError:
            raise
        except socket.gaierror as error:
            raise HostUnreachable(explain(f"Could not resolve hostname {self.host}: {error}")) from error
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            words = f"unable to connect to server at '{self.host}:{self.port}': {reason}"
            raise HostUnreachable(explain(words)) from error
        writer.close()
        address: Address = writer.get_extra_info("peername")[:2]
        return address


def connections(address: Address) -> set[Address]:
    """Return this process' ends of its connections to an address."""
    found = set()
    for end in _ends(address):
        found.add(end.getsockname()[:2])
    return found


def hang_up(address: Address, spare: set[Address]) -> None:
    """End this process' connections to an address, whoever waits on them, except for those with such ends."""
    for end in _ends(address):
        if end.getsockname()[:2] not in spare:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _ends(address: Address) -> Iterator[socket.socket]:
    """Yield this process' connections to an address; each is good until the next one is asked for.

    No file is duplicated for that: closing the copy of a database's file would end its locks (fcntl(2)).
    """
    for file in _OWN_FILES.iterdir():
        with contextlib.suppress(OSError):  # it is no socket, not connected, or closed meanwhile
            end = socket.socket(fileno=int(file.name))
            try:
                if end.type == socket.SOCK_STREAM and end.getpeername()[:2] == address:
                    yield end
            finally:
                end.detach()  # it is whose it was
