"""The tiny guest: Debian's cloud kernel and a busybox, booting in seconds even under emulation."""

from __future__ import annotations

import gzip
import re
import shutil
from typing import TYPE_CHECKING

from recipe import debian, disk, initramfs, manifest
from recipe.cache import made_once, recipe_hash
from recipe.commands import BuildFailed, progress, require

if TYPE_CHECKING:
    from pathlib import Path

BOOT_MIB = 32
PROGRAMS = ("tiny", "debian", "disk", "initramfs", "manifest")
"""The modules that decide what the image is."""


def build(appliance: Path, cache: Path) -> Path:
    """Build the tiny guest, or find it built.

    Parameters
    ----------
    appliance
        The folder with the recipes.
    cache
        Where images are kept.

    Returns
    -------
    pathlib.Path
        Its manifest.
    """
    data = appliance / "tiny"
    modules = [
        appliance / "recipe" / f"{name}.py" for name in ("tiny", "debian", "disk", "initramfs", "manifest")
    ]
    recipe = recipe_hash([data, *modules], appliance)
    target = cache / f"tiny-{recipe}"
    with made_once(target) as folder:
        if folder is None:
            return target / "manifest.json"
        require("mmdebstrap", "mformat", "mcopy", "syslinux", "sfdisk", "qemu-img", "cpio", "zstd")
        progress("tiny guest: fetching kernel and busybox")
        folder.mkdir()
        scratch = folder.parent
        root = scratch / "packages"
        debian.bootstrap(root, (data / "packages.txt").read_text().split(), variant="extract")
        kernel, modules_folder = find_kernel(root)
        progress("tiny guest: making the disk")
        initrd = scratch / "initrd"
        initramfs.make(
            initrd,
            scratch=scratch / "initramfs",
            overlay=data / "root",
            busybox=root / "bin/busybox",
            modules=modules_folder,
            wanted=(data / "modules.txt").read_text().split(),
        )
        boot = scratch / "boot.img"
        disk.boot_partition(
            boot, BOOT_MIB, {"vmlinuz": kernel, "initrd": initrd}, (data / "syslinux.cfg").read_text()
        )
        raw = scratch / "tiny.raw"
        disk.assemble(raw, boot)
        disk.qcow2(raw, folder / "tiny.qcow2")
        packages = [_kernel_package(kernel), _busybox_package(root)]
        manifest.write(
            folder,
            data / "appliance.toml",
            folder / "tiny.qcow2",
            recipe=recipe,
            packages=packages,
            python_packages=[],
        )
        shutil.rmtree(root)
    return target / "manifest.json"


def find_kernel(root: Path) -> tuple[Path, Path]:
    """Find the kernel and the folder of its modules in a root file system."""
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise BuildFailed("Debian's kernel package brought no kernel.")
    kernel = kernels[-1]
    return kernel, root / "lib/modules" / kernel.name.removeprefix("vmlinuz-")


def _kernel_package(kernel: Path) -> dict[str, str]:
    """Name, version and licence; the version is in the image's banner, where its header points to."""
    image = kernel.read_bytes()[: 64 * 1024]
    banner = image[int.from_bytes(image[0x20E:0x210], "little") + 0x200 :].split(b"\0", 1)[0]
    version = re.search(rb"Debian (\S+)", banner)
    return {
        "name": kernel.name.replace("vmlinuz", "linux-image"),
        "version": version[1].decode() if version else "",
        "licence": "GPL-2",
    }


def _busybox_package(root: Path) -> dict[str, str]:
    """Name, version and licence; the first line of a changelog is ``source (version) …``."""
    changelog = root / "usr/share/doc/busybox-static/changelog.Debian.gz"
    version = ""
    if changelog.exists():
        with gzip.open(changelog, "rt", encoding="utf-8", errors="replace") as file:
            version = file.readline().partition("(")[2].partition(")")[0]
    return {"name": "busybox-static", "version": version, "licence": "GPL-2"}
