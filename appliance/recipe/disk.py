"""Puts a self-booting disk together from plain files: MBR, a FAT partition with syslinux, an ext4 root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.commands import BuildFailed, run

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024
SECTOR = 512
FIRST_SECTOR = 2048
"""Partitions start at 1 MiB, as every tool aligns them today."""

MBR = (Path("/usr/lib/syslinux/mbr/mbr.bin"), Path("/usr/lib/SYSLINUX/mbr.bin"))


def boot_partition(image: Path, size_mib: int, files: Mapping[str, Path], config: str) -> None:
    """Make a FAT file system that boots.

    Parameters
    ----------
    image
        Where to make it.
    size_mib
        Its size.
    files
        What to put in its top folder, by name there.
    config
        Content of ``syslinux.cfg``.
    """
    sectors = size_mib * MIB // SECTOR
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    # The hidden sectors tell syslinux where its partition begins.
    run("mformat", "-i", image, "-T", str(sectors), "-h", "64", "-s", "32", "-H", str(FIRST_SECTOR),
        "-v", "CERNVMBOOT", "-N", "c0ffee01", "::")  # fmt: skip
    run("syslinux", "--install", image)
    for name, source in files.items():
        run("mcopy", "-i", image, source, f"::{name}")
    run("mcopy", "-i", image, "-", "::syslinux.cfg", stdin=config.encode())


def root_file_system(image: Path, folder: Path, size_mib: int, label: str) -> None:
    """Make an ext4 file system from a folder, owners and modes kept."""
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    # Nothing is left to be initialised in the background of the first boot.
    run("mkfs.ext4", "-q", "-F", "-L", label, "-m", "1", "-d", folder,
        "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-O", "^metadata_csum_seed,fast_commit",
        "-J", "size=32", image)  # fmt: skip


def assemble(disk: Path, boot: Path, root: Path | None = None) -> None:
    """Join partitions on a sparse raw disk with a boot sector."""
    boot_sectors = boot.stat().st_size // SECTOR
    table = [f"start={FIRST_SECTOR}, size={boot_sectors}, type=c, bootable"]
    end = FIRST_SECTOR + boot_sectors
    if root is not None:
        root_sectors = root.stat().st_size // SECTOR
        table.append(f"start={end}, size={root_sectors}, type=83")
        end += root_sectors
    with disk.open("wb") as file:
        file.truncate(end * SECTOR)
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk,
        stdin="\n".join(["label: dos", "label-id: 0xcec0ffee", *table, ""]).encode())  # fmt: skip
    with disk.open("r+b") as file:
        file.write(_mbr())
    copy_sparse(boot, disk, FIRST_SECTOR * SECTOR)
    if root is not None:
        copy_sparse(root, disk, (FIRST_SECTOR + boot_sectors) * SECTOR)


def qcow2(raw: Path, target: Path) -> None:
    """Convert a raw disk, compressed: a third to store and to upload, and quick to read."""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-W", "-m", "4",
        "-o", "compat=1.1,compression_type=zstd", raw, target)  # fmt: skip


def copy_sparse(source: Path, target: Path, offset: int) -> None:
    """Copy what is not a hole in a file into another one, at an offset."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        size = source.stat().st_size
        position = 0
        while position < size:
            try:
                start = os.lseek(reader.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            end = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            reader.seek(start)
            writer.seek(offset + start)
            while start < end:
                piece = reader.read(min(4 * MIB, end - start))
                writer.write(piece)
                start += len(piece)
            position = end


def _mbr() -> bytes:
    for path in MBR:
        if path.exists():
            code = path.read_bytes()
            # Beyond it begins the disk's signature and the partition table.
            assert len(code) <= 440  # noqa: PLR2004
            return code
    raise BuildFailed("These Debian packages are needed: apt install syslinux syslinux-common")
