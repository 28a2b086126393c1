"""What is brought to a pool once, however many machines wait for it: bases and the hub's layer."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cernvmapi.models import VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.store import Actor, Store, volumes
from cernvmcontroller.store.tables import VolumeRow
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from cernvmcontroller.hypervisor.interface import VolumeState
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.repository import Manifest

_MIB = 1024 * 1024


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
            if known is None:
                await verified()
            return await self._send(host, name, manifest.image, VolumeKind.BASE, upload)

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
            return await self._send(host, name, path, VolumeKind.LAYER, upload)

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
        self, host: HostLink, name: str, source: Path, kind: VolumeKind, upload: Upload
    ) -> VolumeState:
        pool = host.spec.pool.name
        state = await host.hypervisor.upload_volume(
            pool, name, source, format="qcow2" if kind is VolumeKind.BASE else "raw", progress=upload.advance
        )
        async with self._store.write(Actor.system(), "volume.upload", f"pool/{pool}", audit=False) as tx:
            if await volumes.by_name(tx.session, pool, name) is None:
                await volumes.add(
                    tx,
                    VolumeRow(
                        id=naming.new_id("v"),
                        kind=kind,
                        name=name,
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
