"""The boot sector of a raw disk: whether its table of partitions can be one."""

from __future__ import annotations

import struct

from cernvmapi.errors import SourceFailed

_SECTOR = 512
_TABLE = 446
_ENTRY = struct.Struct("<B3xB3xII")
_ACTIVE = (0x00, 0x80)
_GPT = 0xEE
"""A GPT's protective partition: it may say that it goes on to the end of the largest disk."""


def virtual_size(head: bytes, size: int) -> int:
    """Return the size of a raw disk in bytes, in whole sectors.

    Parameters
    ----------
    head
        Its first sector, at least.
    size
        Bytes of the file.

    Raises
    ------
    SourceFailed
        Its partitions cannot be.
    """
    used = 0
    for index in range(4):
        active, kind, start, count = _ENTRY.unpack_from(head, _TABLE + index * _ENTRY.size)
        if not kind:
            continue
        used += 1
        end = start + (1 if kind == _GPT else count)
        if active not in _ACTIVE or end * _SECTOR > size:
            raise SourceFailed(
                f"Partition {index + 1} of the raw disk cannot be: it is damaged, incomplete or no disk."
            )
    if not used:
        raise SourceFailed("The raw disk has no partition: machines cannot start from it.")
    return -(-size // _SECTOR) * _SECTOR
