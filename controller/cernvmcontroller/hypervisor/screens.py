"""What a hypervisor offers of its domains' screens and keyboards; a part of `Hypervisor`.

Like everything there it may raise `~cernvmapi.errors.HostUnreachable`, `~cernvmapi.errors.HypervisorFailed`
and `~cernvmapi.errors.NotFound`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.hypervisor.interface import ByteStream

LARGEST_SCREENSHOT = 16 * 1024 * 1024
"""Bytes; a guest chooses the size of its screen."""

HOLD = 0.02
"""Seconds for which a key is held down, and for which it is up before the next one."""


class Screens(Protocol):
    """Screen, keyboard and pointer of running domains."""

    @property
    def graphics_refusal(self) -> str:
        """Why `open_graphics` is not possible through this connection; empty where it is."""
        ...

    async def open_graphics(self, uuid: str) -> ByteStream:
        """Connect to the VNC server of a running domain, which speaks first; several may be connected.

        `WrongState` when it is off, `~cernvmapi.errors.Conflict` where `graphics_refusal` says why.
        """
        ...

    async def screenshot(self, uuid: str) -> bytes:
        """Return what is on the first screen of a running domain, as PNG. `WrongState` when it is off."""
        ...

    async def send_keys(self, uuid: str, chords: Sequence[tuple[int, ...]]) -> None:
        """Press keys, one chord after the other, each for `HOLD` seconds. `WrongState` when it is off.

        Parameters
        ----------
        chords
            Linux' codes of keys that are pressed together.
        """
        ...
