"""What a file is, by what it is called and by its first bytes; it must be one thing, and the same by both.

The magic numbers are those of the formats' own descriptions, as file(1) knows them too.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from cernvmapi.errors import SourceFailed

HEAD = 64 * 1024
"""Bytes of a file's begin that are looked at; an ISO image says at 32 KiB that it is one."""
TAIL = 512
"""Bytes of its end; a VHD image says there that it is one."""
_SIGNATURE = b"\x55\xaa"


class DiskFormat(StrEnum):
    """The formats of disk images that are imported."""

    QCOW2 = "qcow2"
    RAW = "raw"


class Compression(StrEnum):
    """What an image may be compressed with."""

    GZIP = "gzip"
    XZ = "xz"
    ZSTD = "zstd"
    BZIP2 = "bzip2"


_COMPRESSED = {
    Compression.GZIP: b"\x1f\x8b\x08",
    Compression.XZ: b"\xfd7zXZ\0",
    Compression.ZSTD: b"\x28\xb5\x2f\xfd",
    Compression.BZIP2: b"BZh",
}
_MAGIC = (
    ("a qcow2 image", 0, b"QFI\xfb"),
    ("a QED image", 0, b"QED\0"),
    ("a VMDK image", 0, b"KDMV"),
    ("a VMDK image", 0, b"COWD"),
    ("a VMDK descriptor", 0, b"# Disk DescriptorFile"),
    ("a VHDX image", 0, b"vhdxfile"),
    ("a VHD image", 0, b"conectix"),
    ("a VDI image", 0x40, b"\x7f\x10\xda\xbe"),
    ("a Parallels image", 0, b"WithoutFreeSpace"),
    ("a Parallels image", 0, b"WithouFreSpacExt"),
    ("a bochs image", 0, b"Bochs Virtual HD Image"),
    ("an encrypted disk", 0, b"LUKS\xba\xbe"),
    ("a tar archive", 257, b"ustar"),
    ("a zip archive", 0, b"PK\x03\x04"),
    ("an ISO 9660 image", 0x8001, b"CD001"),
    *(("a compressed file", 0, magic) for magic in _COMPRESSED.values()),
)
_QCOW2 = _MAGIC[0][0]
_SUFFIXES = {
    "qcow2": DiskFormat.QCOW2,
    "raw": DiskFormat.RAW,
    "hdd": DiskFormat.RAW,
    "gz": Compression.GZIP,
    "xz": Compression.XZ,
    "zst": Compression.ZSTD,
    "bz2": Compression.BZIP2,
}
"""``img`` says nothing: raw images are called so, and qcow2 images."""
_TYPES = {
    "application/x-qemu-disk": DiskFormat.QCOW2,
    "application/x-qcow2": DiskFormat.QCOW2,
    "application/x-raw-disk-image": DiskFormat.RAW,
}


def declared(url: str, mime: str = "") -> DiskFormat | None:
    """Return which format a file is said to have, compressed or not; None where nothing is said.

    Raises
    ------
    SourceFailed
        Its name and its type say different things.
    """
    *_, second, first = ["", "", *urlsplit(url).path.rpartition("/")[2].lower().split(".")]
    named = [_SUFFIXES.get(suffix) for suffix in (first, second)]
    by_name = named[1] if isinstance(named[0], Compression) else named[0]
    by_type = _TYPES.get(mime.partition(";")[0].strip().lower())
    found = {each for each in (by_name, by_type) if isinstance(each, DiskFormat)}
    if len(found) > 1:
        raise SourceFailed(
            f"It is {by_name} by its name and {by_type} by its type: ask who offers it what it is."
        )
    return found.pop() if found else None


def compression(head: bytes) -> Compression | None:
    """Return what a file is compressed with."""
    return next((each for each, magic in _COMPRESSED.items() if head.startswith(magic)), None)


def disk_format(head: bytes, tail: bytes, said: DiskFormat | None) -> DiskFormat:
    """Return the format of a disk image.

    Parameters
    ----------
    head, tail
        The first `HEAD` and the last `TAIL` bytes; fewer where it has fewer.
    said
        What it was `declared` to be.

    Raises
    ------
    SourceFailed
        It is no disk image, several things at once, of a format that is not imported, or not what it was said
        to be.
    """
    kinds = {name for name, offset, magic in _MAGIC if head[offset : offset + len(magic)] == magic}
    if tail.startswith(b"conectix"):
        kinds.add("a VHD image")
    if len(kinds) > 1:
        raise SourceFailed(
            f"The image is {' and '.join(sorted(kinds))} at the same time: it is made to deceive."
        )
    if kinds == {_QCOW2}:
        found = DiskFormat.QCOW2
    elif kinds:
        raise SourceFailed(f"It is {kinds.pop()}, which is not imported; qcow2 and raw images are.")
    elif head[510:512] == _SIGNATURE:
        found = DiskFormat.RAW
    else:
        raise SourceFailed(
            "It is neither a qcow2 image nor a raw disk: it has no boot sector. Ask who offers it what it is."
        )
    if said not in {None, found}:
        raise SourceFailed(f"It was said to be {said} and is {found}; it is not imported.")
    return found
