"""What a hypervisor does to running domains beside starting and ending them; a part of `Hypervisor`.

Like everything there it may raise `~cernvmapi.errors.HostUnreachable`, `~cernvmapi.errors.HypervisorFailed`
and `~cernvmapi.errors.NotFound`.
"""

from __future__ import annotations

from typing import Protocol

SAVED = "saved"
"""Libvirt's reason of a domain that is off and goes on where it was when it is started."""


class Lifecycle(Protocol):
    """Verbs on running domains."""

    async def suspend(self, uuid: str) -> None:
        """Let it stand still, its memory kept; no error when it does. `WrongState` when it is off."""
        ...

    async def resume(self, uuid: str) -> None:
        """Let a paused one go on; no error when it runs already. `WrongState` when it is off."""
        ...

    async def reset(self, uuid: str) -> None:
        """Press its reset button: it boots anew, and nobody is asked. `WrongState` when it is off."""
        ...

    async def update_device(self, uuid: str, xml: str) -> None:
        """Change a device of what runs to what its XML says; its definition stays. `WrongState` when off."""
        ...

    async def store(self, uuid: str) -> None:
        """Write its memory to the host's disk and switch it off; when it is started it goes on there.

        However long that takes. No error when it is stored already. `WrongState` when it is off otherwise.
        """
        ...

    async def discard(self, uuid: str) -> None:
        """Throw away the memory that was stored; no error when there is none."""
        ...
