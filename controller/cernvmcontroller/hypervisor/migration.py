"""What moves domains and volumes from one hypervisor to another of its kind; a part of `Hypervisor`.

Like everything there it may raise `~cernvmapi.errors.HostUnreachable`, `~cernvmapi.errors.HypervisorFailed`
and `~cernvmapi.errors.NotFound`; the other hypervisor's answers are meant, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import VolumeState

MIGRATING = "migration"
"""Libvirt's reason of a domain that stands still because it is on its way: here no more, or there not yet."""

Percent = Callable[[int], None]
"""Called in the event loop with how much is done, 0 to 100."""


@dataclass(frozen=True)
class Passage:
    """How a running domain gets to another host."""

    address: str | None = None
    """Of the other host, for QEMU; None: the other host says it."""
    encrypted: bool = True
    """Memory and disks go over TLS, with the certificates of both hosts' QEMU."""
    copied: bool = False
    """Its disks are copied on the way, into volumes that are there, empty or overlays of the same base.
    Otherwise both hosts have them: the site says that the storage is shared."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path here → path there, of all that it refers to and that is elsewhere there."""


class Migration(Protocol):
    """Verbs between two hypervisors."""

    @property
    def peer(self) -> object:
        """What verbs of another hypervisor take for this one; of use for those of the same kind only."""
        ...

    async def migrate(
        self, uuid: str, peer: object, passage: Passage, progress: Percent | None = None
    ) -> None:
        """Move a running domain without a stop that anybody notices; its definition goes with it.

        However long that takes. Cancelled it is broken off, and the domain runs on where it was. When it
        fails, the domain runs on one side: ask both.

        Raises
        ------
        WrongState
            It is off, or is being moved already.
        """
        ...

    async def abort_migration(self, uuid: str) -> None:
        """Break off what moves a domain; no error where nothing does, or it is gone."""
        ...

    async def copy_volume(
        self,
        pool: str,
        name: str,
        peer: object,
        to_pool: str,
        *,
        backing: str | None = None,
        progress: Percent | None = None,
    ) -> VolumeState:
        """Copy a volume that nothing writes into a pool of another hypervisor; return the copy.

        One that was copied before is returned at once; one that was not finished is begun again.

        Parameters
        ----------
        backing
            Path, there, of the image that the copy is an overlay of; None: it is none, or the path is the
            same there.
        """
        ...
