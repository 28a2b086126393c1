"""What is brought to a pool once, however many machines wait for it: bases and the hub's layer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cernvmapi.errors import CernVMError, HypervisorFailed, NoRoom
from cernvmapi.models import VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.store import Actor, Store, volumes
from cernvmcontroller.store.tables import VolumeRow
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from cernvmcontroller.hypervisor.interface import VolumeState
    from cernvmcontroller.hypervisor.specs import Format
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.repository import Manifest

_MIB = 1024 * 1024
_FULL = "no space left"
"""The words of a full disk (ENOSPC), which libvirt hands on."""


class Upload:
    """One file on its way into one pool."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.done = 0
        self.task: asyncio.Task[VolumeState] | None = None

    @property
    def percent(self) -> int:
        """How much of it is there."""
        return min(100, 100 * self.done // self.size) if self.size else 100

    def advance(self, done: int) -> None:
        """Take note of the bytes done so far."""
        self.done = done


class Uploads:
    """The uploads under way.

    An upload goes on when the machine that wanted it first is cancelled: the next one needs it too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[tuple[str, str], Upload] = {}
        self._removing: dict[tuple[str, str], asyncio.Event] = {}
        self._digests: dict[tuple[Path, int, int], str] = {}

    def base(self, host: HostLink, manifest: Manifest, verified: Callable[[], Awaitable[object]]) -> Upload:
        """Bring an appliance's base to a host's pool; `verified` is awaited before anything is sent."""
        name = naming.base_volume(manifest.appliance.sha256)

        async def work(upload: Upload) -> VolumeState:
            known = await host.hypervisor.volume(host.spec.pool.name, name)
            if known is not None:
                return await self._noted(host, known, VolumeKind.BASE)
            await verified()
            state = await self._send(host, name, manifest.image, "qcow2", upload)
            try:
                await verified()  # at once where the file is as it was; a base is known by what is in it
            except CernVMError:
                await self._remove(host, name)
                raise
            return await self._noted(host, state, VolumeKind.BASE)

        return self._once(host, name, manifest.appliance.size, work)

    async def layer_name(self, path: Path) -> tuple[str, int]:
        """Return the name that the layer's volume has, by its content, and its size in bytes."""
        status = await asyncio.to_thread(path.stat)
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = hashlib.sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()
        name = naming.layer_volume(self._digests[key])
        return name, status.st_size

    async def layer(self, host: HostLink, path: Path) -> Upload:
        """Bring the hub's own layer to a host's pool."""
        name, size = await self.layer_name(path)

        async def work(upload: Upload) -> VolumeState:
            state = await self._send(host, name, path, "raw", upload)
            return await self._noted(host, state, VolumeKind.LAYER)

        return self._once(host, name, size, work)

    @asynccontextmanager
    async def alone(self, pool: str, name: str) -> AsyncIterator[bool]:
        """Keep a volume from being uploaded within the block: who wants it meanwhile waits.

        Yields
        ------
        bool
            False while it is being uploaded: then it must be left alone.
        """
        key = (pool, name)
        if key in self._running or key in self._removing:
            yield False
            return
        gone = self._removing[key] = asyncio.Event()
        try:
            yield True
        finally:
            del self._removing[key]
            gone.set()

    async def close(self) -> None:
        """Break off; what was not finished is begun again by whoever wants it next."""
        await end(upload.task for upload in self._running.values() if upload.task is not None)

    def _once(
        self, host: HostLink, name: str, size: int, work: Callable[[Upload], Awaitable[VolumeState]]
    ) -> Upload:
        key = (host.spec.pool.name, name)
        upload = self._running.get(key)
        if upload is None:
            upload = self._running[key] = Upload(size)

            async def run() -> VolumeState:
                try:
                    if (removed := self._removing.get(key)) is not None:
                        await removed.wait()
                    return await work(upload)
                finally:
                    del self._running[key]

            upload.task = asyncio.create_task(run(), name=f"upload {name}")
            upload.task.add_done_callback(_seen)
        return upload

    async def _send(
        self, host: HostLink, name: str, source: Path, image_format: Format, upload: Upload
    ) -> VolumeState:
        """Send a file; where that fails nothing of it stays, so that there is room again.

        Raises
        ------
        NoRoom
            The pool became full.
        HypervisorFailed
            The file cannot be read, or the host refused it.
        """
        pool = host.spec.pool.name
        try:
            return await host.hypervisor.upload_volume(
                pool, name, source, format=image_format, progress=upload.advance
            )
        except OSError as error:
            await self._remove(host, name)
            raise HypervisorFailed(
                f"The image cannot be read ({error.strerror}). Ask an administrator to build the "
                "appliance again."
            ) from None
        except HypervisorFailed as error:
            await self._remove(host, name)
            if _FULL in error.detail.lower():
                raise NoRoom(
                    f"The storage pool {pool} of the host {host.id} is full: {upload.size // _MIB + 1} MiB "
                    "do not fit into it. Ask an administrator for room, or try again when machines were "
                    "deleted."
                ) from None
            raise

    async def _remove(self, host: HostLink, name: str) -> None:
        """Remove what was not finished; where that fails too it stays marked, and is begun anew."""
        with contextlib.suppress(CernVMError):
            await host.hypervisor.delete_volume(host.spec.pool.name, name)

    async def _noted(self, host: HostLink, state: VolumeState, kind: VolumeKind) -> VolumeState:
        """Write down that a volume is there."""
        pool = host.spec.pool.name
        async with self._store.write(Actor.system(), "volume.upload", f"pool/{pool}", audit=False) as tx:
            if await volumes.by_name(tx.session, pool, state.name) is None:
                await volumes.add(
                    tx,
                    VolumeRow(
                        id=naming.new_id("v"),
                        kind=kind,
                        name=state.name,
                        pool=pool,
                        capacity_mib=-(-state.capacity // _MIB),
                        allocation_mib=-(-state.allocation // _MIB),
                    ),
                )
        return state


def _seen(task: asyncio.Task[VolumeState]) -> None:
    """Take note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
