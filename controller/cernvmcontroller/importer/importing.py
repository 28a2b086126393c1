"""The steps of an import: unpack, look at, convert, look at again; everything in a folder of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cernvmapi.errors import SourceFailed
from cernvmcontroller.importer import formats, qcow2, rawdisk
from cernvmcontroller.importer.confinement import Limits, confined, owner
from cernvmcontroller.importer.formats import Compression, DiskFormat

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_MIB = 1024**2
_CHUNK = 4 * _MIB
_UNPACK = {
    Compression.GZIP: ("gzip", "-dc"),
    Compression.XZ: ("xz", "-dc"),
    Compression.ZSTD: ("zstd", "-dcq"),
    Compression.BZIP2: ("bzip2", "-dc"),
}
_SOURCE, _UNPACKED, _IMAGE = "source", "unpacked", "image.qcow2"


@dataclass(frozen=True)
class Imported:
    """An image that needs nothing but itself.

    Parameters
    ----------
    path
        A qcow2 file that nobody may write.
    size, virtual_size
        Bytes of the file, and of the disk in it.
    """

    path: Path
    sha256: str
    size: int
    virtual_size: int


class Importer:
    """Makes images of strangers into bases.

    Parameters
    ----------
    limits
        What each step may use.
    largest
        Bytes of the largest disk that is imported.
    """

    def __init__(self, limits: Limits | None = None, largest: int = 128 * 1024**3) -> None:
        self._limits = limits or Limits()
        self._largest = largest

    async def __call__(self, source: Path, work: Path, said: DiskFormat | None) -> Imported:
        """Import an image.

        Parameters
        ----------
        source
            The file as it was downloaded; it is not changed.
        work
            A folder that is made for this, on the same file system, and must not exist yet.
        said
            What it was declared to be.

        Raises
        ------
        SourceFailed
            It is not what it should be, or more than it may be.
        """
        await asyncio.to_thread(self._prepare, source, work)
        disk = await self._unpacked(work)
        form, size = await asyncio.to_thread(self._look, disk, said)
        limits = replace(self._limits, file=size + size // 8 + 64 * _MIB)
        await confined(
            ["qemu-img", "convert", "-f", form, "-O", "qcow2", f"./{disk.name}", f"./{_IMAGE}"],
            limits,
            folder=work,
        )
        return await asyncio.to_thread(self._take_over, work / _IMAGE, size)

    def _prepare(self, source: Path, work: Path) -> None:
        work.mkdir(mode=0o700)
        os.link(source, work / _SOURCE)
        (work / _SOURCE).chmod(0o444)
        account = owner(self._limits.user)
        if account is not None:
            os.chown(work, account, -1)

    async def _unpacked(self, work: Path) -> Path:
        source = work / _SOURCE
        with source.open("rb", buffering=0) as packed:  # what reads it next begins where the file is
            kind = formats.compression(packed.read(8))
            if kind is None:
                return source
            packed.seek(0)
            limits = replace(self._limits, file=self._largest)
            with (work / _UNPACKED).open("xb") as result:
                os.fchmod(result.fileno(), 0o444)  # by its number: by its name it may be another file later
                await confined(_UNPACK[kind], limits, folder=work, source=packed, result=result)
        return work / _UNPACKED

    def _look(self, disk: Path, said: DiskFormat | None) -> tuple[DiskFormat, int]:
        """Return the format of an image and the size of the disk in it."""
        with _opened(disk) as file:
            head = file.read(formats.HEAD)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - formats.TAIL))
            tail = file.read()
        form = formats.disk_format(head, tail, said)
        size = qcow2.virtual_size(head) if form is DiskFormat.QCOW2 else rawdisk.virtual_size(head, length)
        if not 0 < size <= self._largest:
            raise SourceFailed(
                f"The disk in the image has {size // _MIB} MiB; at most {self._largest // _MIB} are imported."
            )
        return form, size

    def _take_over(self, image: Path, expected: int) -> Imported:
        """Make the result ours, after a look at what another account made there."""
        with _opened(image) as file:
            status = os.fstat(file.fileno())
            if status.st_nlink != 1:
                raise SourceFailed("The conversion of the image left something else than a file.")
            os.fchown(file.fileno(), os.geteuid(), os.getegid())
            os.fchmod(file.fileno(), 0o444)
            found = qcow2.virtual_size(file.read(formats.HEAD))
            if found != expected:
                raise SourceFailed(
                    f"The image says that its disk has {expected} bytes, and conversion found {found}."
                )
            file.seek(0)
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            os.fsync(file.fileno())
        return Imported(image, digest.hexdigest(), status.st_size, found)


def _opened(path: Path) -> BinaryIO:
    """Open a file in a folder where another account may have put anything.

    Raises
    ------
    SourceFailed
        It is none.
    """
    try:
        # A pipe would have whoever opens it wait.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:
        raise SourceFailed("The conversion of the image left nothing that could be used.") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SourceFailed("The conversion of the image left something else than a file.")
    return file


def remove(folder: Path) -> None:
    """Delete a folder with all that is in it, whoever made it; nothing where there is none."""
    shutil.rmtree(folder, ignore_errors=True)
