"""The header of a qcow2 image, read with the eyes of somebody who trusts nobody.

The format is described in QEMU's docs/interop/qcow2.txt. What would lead to another file is refused here,
before any program of QEMU sees the image: a backing file, an external data file, features nobody knows.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from cernvmapi.errors import SourceFailed

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_VERSION_3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_CLUSTER_BITS = range(9, 22)
_LONGEST_HEADER = 4096
_MOST_EXTENSIONS = 32
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _COMPRESSION | _EXTENDED_L2
_COMPRESSIONS = (0, 1)
_DATA_FILE_NAME = 0x44415441
_BACKING_FORMAT = 0xE2792ACA
_VERSIONS = (2, 3)


class _Header(NamedTuple):
    magic: bytes
    version: int
    backing_offset: int
    backing_size: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int


def virtual_size(head: bytes) -> int:
    """Return the size of the disk in an image, in bytes.

    Parameters
    ----------
    head
        The image's first bytes, `cernvmcontroller.importer.formats.HEAD` of them where it has so many.

    Raises
    ------
    SourceFailed
        It is no such image, or one that needs more than itself.
    """
    try:
        header = _Header(*_HEADER.unpack_from(head))
        if header.magic != _MAGIC or header.version not in _VERSIONS:
            raise SourceFailed("It is no qcow2 image of version 2 or 3.")
        length = _HEADER.size
        if header.version == _VERSIONS[1]:
            features, _, _, _, length = _VERSION_3.unpack_from(head, length)
            _check_features(features)
            if not _HEADER.size + _VERSION_3.size <= length <= _LONGEST_HEADER or length % 8:
                raise _damaged("its header has an impossible length")
            if features & _COMPRESSION and head[104] not in _COMPRESSIONS:
                raise SourceFailed("The image is compressed in a way that nobody knows.")
        _check(header)
        _check_extensions(head, length)
    except (struct.error, IndexError):
        raise _damaged("its header has no end") from None
    return header.size


def _check_features(features: int) -> None:
    if features & _DATA_FILE:
        raise SourceFailed("The image keeps its content in another file, of the host that reads it: refused.")
    if features & (_DIRTY | _CORRUPT):
        raise _damaged("it says so itself")
    if features & ~_KNOWN:
        raise SourceFailed("The image needs features that are not known here: refused.")


def _check(header: _Header) -> None:
    if header.backing_offset or header.backing_size:
        raise SourceFailed(
            "The image stands on another one (a backing file), of the host that reads it: refused. Who "
            "offers it makes a whole one with qemu-img convert."
        )
    if header.encryption:
        raise SourceFailed("The image is encrypted; only images that can be read are imported.")
    if header.cluster_bits not in _CLUSTER_BITS:
        raise _damaged("its clusters have an impossible size")
    cluster = 1 << header.cluster_bits
    covered = header.l1_entries * (cluster // 8) * cluster
    if covered < header.size or header.l1_offset % cluster or not header.refcount_clusters:
        raise _damaged("its tables do not cover its disk")


def _check_extensions(head: bytes, offset: int) -> None:
    for _ in range(_MOST_EXTENSIONS):
        kind, length = _EXTENSION.unpack_from(head, offset)
        if kind == 0:
            return
        if kind in {_DATA_FILE_NAME, _BACKING_FORMAT}:
            raise SourceFailed("The image names another file of the host that reads it: refused.")
        offset += _EXTENSION.size + (length + 7) // 8 * 8
    raise _damaged("its header has no end")


def _damaged(why: str) -> SourceFailed:
    return SourceFailed(f"The qcow2 image is damaged: {why}. Download it again, or ask who offers it.")
