"""What belongs to a machine and has to be where it runs: the volumes of its host's own pool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lxml import etree

from cernvmapi.errors import Conflict, HypervisorFailed, NotFound
from cernvmapi.models import VolumeKind
from cernvmcontroller import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cernvmcontroller.hypervisor.interface import VolumeState
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.workshop import Workshop


@dataclass(frozen=True)
class Belongings:
    """The names of the volumes in a machine's pool, by what is done with them."""

    bases: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    """What only this machine writes: its disk, its home."""
    fixed: tuple[str, ...] = ()
    """What is only read, and copied as it is: its context, the hub's layer."""


def sort(names: Iterable[str]) -> Belongings:
    """Return which volumes are which.

    Raises
    ------
    Conflict
        One is not of the hub: somebody gave it to the machine by hand, and nobody knows how to move it.
    """
    found: dict[str, list[str]] = {"bases": [], "own": [], "fixed": []}
    for name in sorted(set(names)):
        parsed = naming.parse_volume(name)
        if parsed is None:
            raise Conflict(
                f"The machine uses {name}, which the hub did not make and cannot move: detach it first."
            )
        match parsed.kind:
            case VolumeKind.BASE:
                found["bases"].append(name)
            case VolumeKind.DISK | VolumeKind.HOME:
                found["own"].append(name)
            case VolumeKind.SEED | VolumeKind.LAYER:
                found["fixed"].append(name)
    return Belongings(**{key: tuple(value) for key, value in found.items()})


def files_of(xml: str) -> list[str]:
    """Return the paths of the files that a domain refers to."""
    return [
        str(node.get("file")) for node in etree.fromstring(xml.encode()).iterfind(".//disk//source[@file]")
    ]


def names_in(pool_path: str, files: Iterable[str]) -> list[str]:
    """Return the names of those files that are volumes of a pool."""
    return [path.name for path in map(PurePosixPath, files) if str(path.parent) == pool_path]


class Carrier:
    """Brings the belongings of one machine from a pool to another.

    Parameters
    ----------
    shop
        What it works with.
    appliance
        The machine's.
    here, there
        Its hosts, with a pool each.
    """

    def __init__(self, shop: Workshop, appliance: str, here: HostLink, there: HostLink) -> None:
        self.shop = shop
        self.appliance = appliance
        self.here = here
        self.there = there

    @property
    def needed(self) -> bool:
        """Whether anything has to be brought: not where both have the same pool."""
        return self.here.spec.pool.name != self.there.spec.pool.name

    def path_there(self, name: str) -> str:
        """Return where a volume is, or will be, on the other host."""
        return f"{self.there.spec.pool.path}/{name}"

    async def base(self, name: str) -> VolumeState:
        """Bring a base: from the repository, where many may want it, else from the host that has it."""
        try:
            manifest = self.shop.repository.choose(self.appliance)
        except NotFound:
            manifest = None
        if manifest is not None and naming.base_volume(manifest.appliance.sha256) == name:
            upload = self.shop.uploads.base(
                self.there, manifest, lambda: self.shop.repository.image(self.appliance)
            )
            assert upload.task is not None
            return await upload.task
        return await self.copy(name)

    async def copy(self, name: str, *, progress: Callable[[int], None] | None = None) -> VolumeState:
        """Copy a volume that nobody writes; an overlay gets the base that is on the other host."""
        state = await self._state(name)
        backing = self.path_there(PurePosixPath(state.backing).name) if state.backing else None
        return await self.here.hypervisor.copy_volume(
            self.here.spec.pool.name,
            name,
            self.there.hypervisor.peer,
            self.there.spec.pool.name,
            backing=backing,
            progress=progress,
        )

    async def empty(self, name: str) -> VolumeState:
        """Make the volume into which a running machine's is copied."""
        state = await self._state(name)
        pool, backing = self.there.spec.pool.name, None
        if state.backing:
            backing = await self.there.hypervisor.volume(pool, PurePosixPath(state.backing).name)
        # What an attempt that was broken off left is of no use: what it has may be older.
        await self.there.hypervisor.delete_volume(pool, name)
        return await self.there.hypervisor.create_volume(
            pool, name, capacity=state.capacity, format="qcow2", backing=backing, backing_format="qcow2"
        )

    async def _state(self, name: str) -> VolumeState:
        state = await self.here.hypervisor.volume(self.here.spec.pool.name, name)
        if state is None:
            raise HypervisorFailed(
                f"The volume {name} of the machine is not in the pool of its host {self.here.id} any more."
            )
        return state
