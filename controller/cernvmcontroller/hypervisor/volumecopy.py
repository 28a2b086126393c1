"""A volume on its way from one host's pool to another's: through the controller, which trusts both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import libvirt

from cernvmapi.errors import HypervisorFailed

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_CHUNK = 1024 * 1024
_REPORT_EVERY = 16 * 1024 * 1024
_CLUSTER = 65536
"""Bytes of the smallest cluster that libvirt gives images: the header has the first one for itself."""


def pump(
    source: Any,
    target: Any,
    change: Callable[[bytes], bytes],
    report: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Copy what is in one libvirt volume into another (in a thread).

    Parameters
    ----------
    change
        Is given the first bytes, a cluster at least where there is one, and returns what is sent instead.
    report
        Called with the bytes sent so far.
    stop
        When set, the copy ends unfinished.
    """
    down, up = source.connect().newStream(), target.connect().newStream()
    source.download(down, 0, 0)
    try:
        target.upload(up, 0, 0)
    except BaseException:
        _abort(down)
        raise
    try:
        _send(down, up, change, report, stop)
    except BaseException:
        _abort(down)
        _abort(up)
        raise
    down.finish()
    up.finish()


def _send(
    down: Any, up: Any, change: Callable[[bytes], bytes], report: Callable[[int], None], stop: threading.Event
) -> None:
    head = b""
    while len(head) < _CLUSTER and (chunk := down.recv(_CHUNK)):
        head += chunk
    data, sent, reported = change(head), 0, 0
    while data:
        view = memoryview(data)
        while view:
            if stop.is_set():
                raise HypervisorFailed("The copy was stopped.")
            done = up.send(view.tobytes())
            view = view[done:]
            sent += done
        if sent - reported >= _REPORT_EVERY:
            reported = sent
            report(sent)
        data = down.recv(_CHUNK)
    report(sent)


def _abort(stream: Any) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        stream.abort()


def rebased(head: bytes, backing: str) -> bytes:
    """Return the begin of a qcow2 image with another backing file's path in it.

    The path is written where QEMU writes it, behind the header's extensions; its image goes on to be of the
    same content (QEMU's docs/interop/qcow2.txt).

    Raises
    ------
    HypervisorFailed
        It is no overlay in qcow2 format, or the path does not fit.
    """
    offset, size = int.from_bytes(head[8:16]), int.from_bytes(head[16:20])
    path = backing.encode()
    if head[:4] != b"QFI\xfb" or not offset:
        raise HypervisorFailed("The volume is no overlay; its base cannot be somewhere else.")
    if len(path) > 1023 or offset + max(len(path), size) > _CLUSTER:  # noqa: PLR2004 - the format's
        raise HypervisorFailed(f"The path {backing} is too long for an overlay.")
    room = bytearray(head)
    room[16:20] = len(path).to_bytes(4)
    room[offset : offset + size] = bytes(size)
    room[offset : offset + len(path)] = path
    return bytes(room)
