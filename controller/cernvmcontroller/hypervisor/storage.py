"""Verbs on storage pools and volumes. Only libvirt touches the files: a remote host is no special case.

An upload is marked while it lasts by an empty volume beside it, made before the first byte and deleted after
the last: a volume with such a mark was never finished, whoever or whatever ended the upload.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import libvirt

from cernvmapi.errors import Conflict
from cernvmcontroller.hypervisor import errors, storagexml
from cernvmcontroller.hypervisor.connection import Connection
from cernvmcontroller.hypervisor.interface import PoolState, Progress, VolumeState
from cernvmcontroller.hypervisor.upload import Upload
from cernvmcontroller.hypervisor.volumecopy import pump, rebased

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cernvmcontroller.hypervisor.migration import Percent
    from cernvmcontroller.hypervisor.specs import Format, PoolSpec

MARK = ".part"
"""What the name of an upload's mark ends in."""

PROBE = "probe-"
"""What the names of an acceleration probe's volumes begin with."""

_SMALL = 8 * 1024 * 1024


class Storage:
    """The pools of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    # --- pools ---

    async def ensure_pool(self, spec: PoolSpec) -> PoolState:
        """Make a directory pool exist and be active."""

        def ensure(connection: Any) -> PoolState:
            pool = _pool_or_none(connection, spec.name)
            if pool is None:
                pool = connection.storagePoolDefineXML(storagexml.pool(spec))
                _build(pool)
            elif (path := storagexml.path_of(pool.XMLDesc())) != spec.path:
                raise Conflict(f"The pool {spec.name} is at {path}, not at {spec.path}.")
            pool.setAutostart(True)
            if not pool.isActive():
                _build(pool)
                pool.create()
            else:
                # Files may have come or gone while nobody looked.
                pool.refresh()
            return _pool_state(pool)

        return await self._connection.call(ensure, slow=True)

    async def pool(self, name: str) -> PoolState:
        """Return a pool's sizes."""
        return await self._connection.call(lambda c: _pool_state(c.storagePoolLookupByName(name)))

    async def remove_pool(self, name: str) -> None:
        """Stop and undefine a pool with what killed uploads and probes left, and its directory if empty."""

        def remove(connection: Any) -> None:
            pool = _pool_or_none(connection, name)
            if pool is None:
                return
            if pool.isActive():
                for each in pool.listAllVolumes():
                    if each.name().endswith(MARK):
                        _delete(pool, each.name().removesuffix(MARK))
                        _delete(pool, each.name())
                    elif each.name().startswith(PROBE):
                        _delete(pool, each.name())
                pool.destroy()
            with contextlib.suppress(libvirt.libvirtError):  # not empty, or gone already
                pool.delete()
            pool.undefine()

        await self._connection.call(remove, slow=True)

    # --- volumes ---

    async def volumes(self, pool: str) -> list[VolumeState]:
        """Return the finished volumes."""

        def look(connection: Any) -> list[VolumeState]:
            found = {each.name(): each for each in connection.storagePoolLookupByName(pool).listAllVolumes()}
            states = []
            for name, volume in found.items():
                if name.endswith(MARK) or name + MARK in found:
                    continue
                try:
                    states.append(_volume_state(volume))
                except libvirt.libvirtError as error:
                    if not errors.is_not_found(error):  # else it went in between
                        raise
            return states

        return await self._connection.call(look)

    async def unfinished(self, pool: str) -> list[str]:
        """Return the names of the volumes whose mark is there."""

        def look(connection: Any) -> list[str]:
            names = [each.name() for each in connection.storagePoolLookupByName(pool).listAllVolumes()]
            return sorted(name.removesuffix(MARK) for name in names if name.endswith(MARK))

        return await self._connection.call(look)

    async def volume(self, pool: str, name: str) -> VolumeState | None:
        """Return one finished volume, or None."""
        return await self._connection.call(lambda c: _finished(c.storagePoolLookupByName(pool), name))

    async def create_volume(
        self,
        pool: str,
        name: str,
        *,
        capacity: int,
        image_format: Format,
        backing: VolumeState | None,
        backing_format: Format,
    ) -> VolumeState:
        """Create an empty volume or an overlay, unless it is there."""
        xml = storagexml.volume(
            name,
            capacity=capacity,
            image_format=image_format,
            backing=(backing.path, backing_format) if backing else None,
        )

        def create(connection: Any) -> VolumeState:
            return _volume_state(_create(connection.storagePoolLookupByName(pool), name, xml))

        return await self._connection.call(create, slow=True)

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path | bytes,
        *,
        image_format: Format,
        progress: Progress | None,
    ) -> VolumeState:
        """Bring bytes into a pool, unless that was finished before."""
        lock = self._locks.setdefault((pool, name), asyncio.Lock())
        async with lock:
            done = await self.volume(pool, name)
            if done is not None:
                return done
            loop = asyncio.get_running_loop()
            stop = threading.Event()

            def report(count: int) -> None:
                if progress is not None:
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(progress, count)

            upload = Upload(source, image_format, report, stop)

            def work(connection: Any) -> VolumeState:
                return _upload(connection.storagePoolLookupByName(pool), name, upload)

            try:
                if isinstance(source, bytes) and len(source) <= _SMALL:
                    return await self._connection.call(work, slow=True)
                return await self._connection.call_long(work, f"upload {name}")
            finally:
                stop.set()

    async def copy_volume(
        self,
        pool: str,
        name: str,
        peer: object,
        to_pool: str,
        *,
        backing: str | None,
        progress: Percent | None,
    ) -> VolumeState:
        """Copy a volume into a pool of another connection, unless that was finished before."""
        assert isinstance(peer, Connection)
        loop = asyncio.get_running_loop()
        stop = threading.Event()

        def work(connection: Any) -> VolumeState:
            source = connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            known = _volume_state(source)
            size = max(1, known.allocation)

            def report(sent: int) -> None:
                if progress is not None:
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(progress, min(100, 100 * sent // size))

            def change(head: bytes) -> bytes:
                return head if backing in {None, known.backing} else rebased(head, backing or "")

            def receive(there: Any) -> VolumeState:
                target = there.storagePoolLookupByName(to_pool)
                done = _finished(target, name)
                if done is not None:
                    return done
                # As raw bytes: libvirt would look for the base of an overlay that is not there yet.
                xml = storagexml.volume(name, capacity=0, image_format="raw")
                state = _filled(target, name, xml, lambda volume: pump(source, volume, change, report, stop))
                target.refresh()
                return _finished(target, name) or state

            with peer.own() as there:
                return receive(there)

        try:
            return await self._connection.call_long(work, f"copy {name}")
        finally:
            stop.set()

    async def read_volume(self, pool: str, name: str, limit: int) -> bytes:
        """Return the first bytes of a volume."""

        def read(connection: Any) -> bytes:
            volume = connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            stream = connection.newStream()
            volume.download(stream, 0, min(limit, volume.info()[1]))
            data = bytearray()
            while chunk := stream.recv(limit):
                data += chunk
            stream.finish()
            return bytes(data[:limit])

        return await self._connection.call(read)

    async def delete_volume(self, pool: str, name: str) -> None:
        """Delete a volume, finished or not."""

        def delete(connection: Any) -> None:
            found = _pool_or_none(connection, pool)
            if found is not None:
                _delete(found, name, look=True)
                _delete(found, name + MARK)

        await self._connection.call(delete, slow=True)


def _build(pool: Any) -> None:
    """Make a pool's directory; another host that has the pool too may make it at the same time."""
    try:
        pool.build()
    except libvirt.libvirtError as error:
        if (error.get_error_code(), error.get_int1()) != (libvirt.VIR_ERR_SYSTEM_ERROR, errno.EEXIST):
            raise


def _upload(pool: Any, name: str, upload: Upload) -> VolumeState:
    xml = storagexml.volume(name, capacity=upload.capacity, image_format=upload.image_format)
    return _filled(pool, name, xml, upload.send)


def _filled(pool: Any, name: str, xml: str, fill: Callable[[Any], None]) -> VolumeState:
    """Make a volume and fill it; until that is done its mark is beside it."""
    mark = name + MARK
    _create(pool, mark, storagexml.volume(mark, capacity=0, image_format="raw"))
    _delete(pool, name)
    volume, new = _made(pool, name, xml)
    if new:  # else another host of the pool has it since before the mark: it is whole
        fill(volume)
    _delete(pool, mark)
    return _volume_state(volume)


def _create(pool: Any, name: str, xml: str) -> Any:
    return _made(pool, name, xml)[0]


def _made(pool: Any, name: str, xml: str) -> tuple[Any, bool]:
    """Return a volume, and whether it is new.

    What another host made in a pool that both have, libvirt here knows only after it has looked again.
    """
    known = _volume_or_none(pool, name)
    if known is not None:
        return known, False
    try:
        return pool.createXML(xml), True
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            known = _looked_again(pool, name)
        elif error.get_error_code() == libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            known = pool.storageVolLookupByName(name)
        if known is None:
            raise
        return known, False


def _looked_again(pool: Any, name: str) -> Any:
    """Return a volume that may have come since libvirt looked last, or None."""
    with contextlib.suppress(libvirt.libvirtError):  # it does not look while something is uploaded
        pool.refresh()
    return _volume_or_none(pool, name)


def _delete(pool: Any, name: str, *, look: bool = False) -> None:
    """Delete a volume; on request one that another host made in the pool, too."""
    volume = _volume_or_none(pool, name)
    if volume is None and look:
        volume = _looked_again(pool, name)
    if volume is None:
        return
    try:
        volume.delete()
    except libvirt.libvirtError as error:
        if not errors.is_not_found(error):
            raise


def _finished(pool: Any, name: str) -> VolumeState | None:
    if _volume_or_none(pool, name + MARK) is not None:
        return None
    volume = _volume_or_none(pool, name)
    return None if volume is None else _volume_state(volume)


def _pool_or_none(connection: Any, name: str) -> Any:
    try:
        return connection.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None
        raise


def _volume_or_none(pool: Any, name: str) -> Any:
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None
        raise


def _pool_state(pool: Any) -> PoolState:
    _state, capacity, _allocation, available = pool.info()
    return PoolState(pool.name(), capacity, available)


def _volume_state(volume: Any) -> VolumeState:
    return storagexml.state_of(volume.XMLDesc())
