"""The sending side of an upload through a libvirt stream."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import libvirt

from cernvmapi.errors import HypervisorFailed, Invalid

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.specs import Format

_CHUNK = 1024 * 1024
_REPORT_EVERY = 16 * 1024 * 1024
_HEADER = 104
_EXTERNAL_DATA = 1 << 2


class Upload:
    """Bytes or a file on their way into a volume.

    Parameters
    ----------
    source
        What is sent.
    image_format
        What it is. A qcow2 image that refers to other files is refused: it would let a machine read them.
    report
        Called in the sending thread with the bytes sent so far.
    stop
        When set, the upload ends unfinished.
    """

    def __init__(
        self,
        source: Path | bytes,
        image_format: Format,
        report: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._report = report
        self._stop = stop
        self.image_format: Format = image_format
        self.size = source.stat().st_size if isinstance(source, Path) else len(source)
        with self._open() as file:
            self.capacity = qcow2_capacity(file.read(_HEADER)) if image_format == "qcow2" else self.size

    def send(self, volume: Any) -> None:
        """Send everything into `volume` (in a thread)."""
        stream = volume.connect().newStream()
        volume.upload(stream, 0, self.size)
        try:
            with self._open() as file:
                self._pump(file, stream)
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise
        stream.finish()
        self._report(self.size)

    def _pump(self, file: BinaryIO, stream: Any) -> None:
        sent = reported = 0
        while chunk := file.read(_CHUNK):
            view = memoryview(chunk)
            while view:
                if self._stop.is_set():
                    raise HypervisorFailed("The upload was stopped.")
                done = stream.send(view.tobytes())
                view = view[done:]
                sent += done
            if sent - reported >= _REPORT_EVERY:
                reported = sent
                self._report(sent)
        if sent != self.size:
            raise HypervisorFailed(f"The source changed during its upload: {sent} bytes, not {self.size}.")

    def _open(self) -> BinaryIO:
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")


def qcow2_capacity(header: bytes) -> int:
    """Return the virtual size that a qcow2 header names, in bytes.

    Raises
    ------
    Invalid
        It is no such header (QEMU's docs/interop/qcow2.txt), or the image refers to another file.
    """
    version = int.from_bytes(header[4:8])
    if header[:4] != b"QFI\xfb" or version not in (2, 3) or len(header) < 72:  # noqa: PLR2004 - the format's
        raise Invalid("The image is not in qcow2 format, version 2 or 3.")
    incompatible = int.from_bytes(header[72:80]) if version == 3 else 0  # noqa: PLR2004
    if int.from_bytes(header[8:16]) or incompatible & _EXTERNAL_DATA:
        raise Invalid("The image refers to another file; only images that stand alone are taken.")
    return int.from_bytes(header[24:32])
