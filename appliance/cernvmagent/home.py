"""The home's disk: found by its serial, made at its first use, checked, mounted, grown, and left clean.

A home that is being made has a stamp at the disk's end, outside of its file system. It is written to a blank
disk before anything else, and removed when the home is ready for its user: a disk with the stamp never held
anybody's data, so that what a killed machine left half made is made anew, and no other disk ever is.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import time
from typing import TYPE_CHECKING

from cernvmagent.server import LAYER

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

UID = GID = 1000
"""The user ``cernvm``."""

SKELETONS = ("/etc/skel", f"{LAYER}/share/cernvmhub/notebooks")
"""What a new home begins with, its user's own from then on."""

LABEL = "home"
LONGEST = 600
"""Seconds that a tool may take: a file system check of a large disk is not quick."""

_EXT4 = b"\x53\xef"
"""An ext4 superblock's magic (s_magic; fs/ext4/ext4.h)."""

_BLKGETSIZE64 = 0x80081272
_NOTHING_FOUND = 2
"""blkid's exit code for a disk without any signature."""

_LOOKED_AT = 1024 * 1024
"""Bytes at the beginning of a disk; every file system and partition table writes there."""

_STAMPED = 1024 * 1024
"""Bytes at the disk's end that the file system leaves to the stamp."""

_STAMP = b"cernvmhub: this home is being made; it holds no data. Bytes: %d\n"

_NOT_CORRECTED = 4
"""e2fsck's exit codes from here on mean that errors are left."""


class HomeFailed(Exception):
    """The home cannot be used; the sentence says why."""


def find(
    serial: str,
    *,
    cancelled: Callable[[float], bool],
    blocks: str = "/sys/block",
    by_id: str = "/dev/disk/by-id",
    longest: float = 15.0,
) -> str:
    """Find a disk by its serial, also before udev has seen it.

    Raises
    ------
    HomeFailed
        When none appears in time.
    """
    end = time.monotonic() + longest
    while True:
        for name in sorted(os.listdir(blocks)) if os.path.isdir(blocks) else ():
            if _read(f"{blocks}/{name}/serial") == serial:
                return f"/dev/{name}"
        link = f"{by_id}/virtio-{serial}"
        if os.path.exists(link):
            return os.path.realpath(link)
        if time.monotonic() > end or cancelled(0.1):
            raise HomeFailed(f'No disk with the serial "{serial}" is attached to this machine.')


def prepare(device: str) -> bool:
    """Make a file system on an empty disk, or one that was never finished; check the one that is there.

    Returns
    -------
    bool
        Whether it is new: to be furnished, and then finished.

    Raises
    ------
    HomeFailed
        When the disk holds something else, or is damaged.
    """
    if is_unfinished(device):
        return _make(device)
    probe = _run("blkid", "-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE", device)
    found = probe.stdout.split()
    if probe.returncode == _NOTHING_FOUND and not found and _is_blank(device):
        _write_stamp(device)
        return _make(device)
    if found != ["ext4"]:
        what = ", ".join(found) or "something that is not known"
        raise HomeFailed(f"The home's disk holds {what}, not the ext4 of a home. It was left as it is.")
    checked = _run("e2fsck", "-p", device)
    if checked.returncode >= _NOT_CORRECTED:
        raise HomeFailed(f"The home's file system is damaged and needs e2fsck by hand: {_last(checked)}")
    return False


def is_unfinished(device: str) -> bool:
    """Whether a home is being made there: its stamp is there, and no file system covers the place of it."""
    with open(device, "rb", buffering=0) as file:
        size = _size(file)
        place, stamp = _stamp(size)
        if place <= _LOOKED_AT:
            return False
        file.seek(place)
        if file.read(len(stamp)) != stamp:
            return False
        file.seek(1024)
        superblock = file.read(1024)
    magic = superblock[56:58] == _EXT4
    return not magic or file_system_size(superblock) <= place


def finish(device: str) -> None:
    """Take the stamp from a home that is ready for its user; from then on it is never made anew.

    Raises
    ------
    OSError
        It could not be written, so the home must not be used.
    """
    with open(device, "r+b", buffering=0) as file:
        place, stamp = _stamp(_size(file))
        os.fsync(file.fileno())
        file.seek(place)
        file.write(bytes(len(stamp)))
        os.fsync(file.fileno())


def mount(device: str, place: str) -> None:
    """Mount a home, as large as its disk.

    Raises
    ------
    HomeFailed
        When it cannot be mounted.
    """
    if source_of(place) == os.path.realpath(device):
        return
    os.makedirs(place, exist_ok=True)
    mounted = _run("mount", "-t", "ext4", "-o", "noatime,nosuid,nodev", device, place)
    if mounted.returncode != 0:
        raise HomeFailed(f"The home cannot be mounted: {_last(mounted)}")
    if is_larger(device):
        _run("resize2fs", device)


def furnish(place: str, skeletons: tuple[str, ...] = SKELETONS) -> None:
    """Give a new home its owner and copies of what is in the skeletons; one that is not there is left out.

    All of it is on the disk when this returns: once the stamp is off, nobody looks whether it is there.
    """
    for skeleton in skeletons:
        _copy(skeleton, place)
    os.chown(place, UID, GID)
    os.chmod(place, 0o700)
    os.sync()


def unmount(place: str) -> None:
    """End whoever uses a home, unmount it and write everything to its disk."""
    if source_of(place) is not None:
        for last in (signal.SIGTERM, signal.SIGKILL):
            if _run("umount", place).returncode == 0:
                break
            _end_processes(last)
        else:
            # Detached now, and really unmounted when its last file is closed.
            _run("umount", "-l", place)
    os.sync()


def source_of(place: str, mounts: str = "/proc/self/mounts") -> str | None:
    """Return the device that is mounted at a place, None when there is none."""
    source = None
    with open(mounts, encoding="utf-8") as file:
        for line in file:
            device, where = line.split()[:2]
            if where == place:
                source = os.path.realpath(device)
    return source


def is_larger(device: str) -> bool:
    """Whether a disk is larger than the ext4 on it, by more than a block group's slack."""
    with open(device, "rb", buffering=0) as file:
        file.seek(1024)
        superblock = file.read(1024)
        size = _size(file)
    return bool(size - file_system_size(superblock) > 128 * 1024 * 1024)


def file_system_size(superblock: bytes) -> int:
    """Size in bytes that an ext4 superblock states (s_blocks_count, s_log_block_size; fs/ext4/ext4.h)."""
    low, log_block_size = (
        struct.unpack_from("<I", superblock, 4)[0],
        struct.unpack_from("<I", superblock, 24)[0],
    )
    high = struct.unpack_from("<I", superblock, 0x150)[0]
    return int((high << 32 | low) * (1024 << log_block_size))


def _copy(skeleton: str, place: str) -> None:
    """Copy a folder's files into a home, as its user's own."""
    for folder, folders, files in os.walk(skeleton):
        target = os.path.normpath(f"{place}/{os.path.relpath(folder, skeleton)}")
        for name in folders:
            os.makedirs(f"{target}/{name}", exist_ok=True)
            os.chown(f"{target}/{name}", UID, GID)
        for name in files:
            with open(f"{folder}/{name}", "rb") as source, open(f"{target}/{name}", "wb") as copy:
                copy.write(source.read())
            os.chown(f"{target}/{name}", UID, GID)


def _make(device: str) -> bool:
    """Make the file system, short of the stamp."""
    with open(device, "rb", buffering=0) as file:
        place, _ = _stamp(_size(file))
    room = [f"{place // 1024}k"] if place > _LOOKED_AT else []
    made = _run("mkfs.ext4", "-q", "-F", "-L", LABEL, "-m", "0", device, *room)
    if made.returncode != 0:
        raise HomeFailed(f"No file system could be made on the home's disk: {_last(made)}")
    return True


def _write_stamp(device: str) -> None:
    with open(device, "r+b", buffering=0) as file:
        place, stamp = _stamp(_size(file))
        if place > _LOOKED_AT:  # a disk too small for a stamp is too small for a home
            file.seek(place)
            file.write(stamp)
            os.fsync(file.fileno())


def _stamp(size: int) -> tuple[int, bytes]:
    """Return where the stamp of a disk of so many bytes is, and what it says."""
    return size // _STAMPED * _STAMPED - _STAMPED, _STAMP % size


def _size(file: FileIO) -> int:
    try:
        (size,) = struct.unpack("Q", fcntl.ioctl(file, _BLKGETSIZE64, bytes(8)))
    except OSError:  # not a block device
        return os.fstat(file.fileno()).st_size
    return int(size)


def _is_blank(device: str) -> bool:
    """Whether a disk was never written to: a file system whose signature is damaged is not a blank disk."""
    with open(device, "rb", buffering=0) as file:
        return not any(file.read(_LOOKED_AT))


def _end_processes(how: signal.Signals, patience: float = 5.0) -> None:
    """Signal all processes of the user, and wait for them to end."""
    mine = _processes()
    for pid in mine:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            continue
    end = time.monotonic() + patience
    while _processes() & mine and time.monotonic() < end:
        time.sleep(0.1)


def _processes() -> set[int]:
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == UID:
                    found.add(int(name))
            except OSError:
                continue
    return found


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", timeout=LONGEST, check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HomeFailed(f"{command[0]} did not end within {LONGEST} s.") from None


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {done.returncode}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
