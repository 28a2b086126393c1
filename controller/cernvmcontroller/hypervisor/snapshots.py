"""What a hypervisor keeps of domains' earlier states; a part of `Hypervisor`.

A snapshot is inside of a domain's own disks (libvirt's internal kind): nothing has to be kept beside them,
and a domain that runs is in it with its memory.

Like everything there it may raise `~cernvmapi.errors.HostUnreachable`, `~cernvmapi.errors.HypervisorFailed`
and `~cernvmapi.errors.NotFound`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class SnapshotState:
    """A snapshot as libvirt sees it."""

    name: str
    created: datetime
    memory: bool
    """The domain ran, and its memory is in it."""
    description: str = ""
    current: bool = False
    """What the domain has now was made from it."""


class Snapshots(Protocol):
    """Snapshots of domains."""

    async def snapshots(self, uuid: str) -> list[SnapshotState]:
        """Return a domain's snapshots, the oldest first."""
        ...

    async def take_snapshot(self, uuid: str, name: str, description: str = "") -> None:
        """Keep what a domain's disks hold now, and its memory if it runs; no error when that one is there.

        A domain that runs stands still meanwhile. However long that takes.
        """
        ...

    async def revert(self, uuid: str, name: str) -> None:
        """Bring a domain back to what it was. `WrongState` where it ran then and is off, or the reverse."""
        ...

    async def delete_snapshot(self, uuid: str, name: str) -> None:
        """Forget a snapshot; what came after it stays. No error when it is gone."""
        ...
