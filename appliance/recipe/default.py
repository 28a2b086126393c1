"""The default appliance: Debian 12, JupyterLab and the tools of an analysis, booting by itself."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from recipe import debian, disk, initramfs, manifest, packages, system, wheels
from recipe.cache import made_once, recipe_hash
from recipe.commands import progress, require
from recipe.tiny import find_kernel

if TYPE_CHECKING:
    from pathlib import Path

BOOT_MIB = 48
DISK_MIB = 8192
"""Size of the disk as a machine sees it; holes in the image cost nothing."""

PROGRAMS = (
    "default", "chroot", "debian", "disk", "initramfs", "manifest", "packages", "system", "wheels"
)  # fmt: skip
"""The modules that decide what the image is."""

ENVIRONMENTS = {"server": False, "kernel": True}
"""Name of each Python environment, and whether it sees Debian's and the user's own packages."""


def build(appliance: Path, cache: Path) -> Path:
    """Build the default appliance, or find it built.

    Debian's packages are whatever its stable suite holds on the day, as its security updates demand; their
    versions are in the manifest. Python's packages are locked.

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
    data = appliance / "default"
    programs = [appliance / "recipe" / f"{name}.py" for name in PROGRAMS]
    recipe = recipe_hash([data, *programs], appliance)
    target = cache / f"default-{recipe}"
    with made_once(target) as folder:
        if folder is None:
            return target / "manifest.json"
        require(
            "mmdebstrap", "mformat", "mcopy", "syslinux", "sfdisk", "qemu-img", "cpio", "zstd", "mkfs.ext4"
        )
        folder.mkdir()
        scratch = folder.parent
        root = scratch / "root"
        _fill(data, root, scratch)
        progress("default appliance (4/5): making the disk")
        image = _image(data, root, scratch, folder / "appliance.qcow2")
        progress("default appliance (5/5): writing the manifest")
        python_packages = [
            {**package, "environment": name}
            for name in ENVIRONMENTS
            for package in packages.python_packages(
                root / f"opt/{name}/lib/python{wheels.PYTHON}/site-packages"
            )
        ]
        manifest.write(
            folder,
            data / "appliance.toml",
            image,
            recipe=recipe,
            packages=packages.debian_packages(root),
            python_packages=python_packages,
        )
        shutil.rmtree(root)
    return target / "manifest.json"


def _fill(data: Path, root: Path, scratch: Path) -> None:
    """Make the root file system."""
    inbox = scratch / "wheels"
    inbox.mkdir()
    locks = {name: data / "python" / f"{name}.txt" for name in ENVIRONMENTS}
    excludes = [f"--dpkgopt={line}" for line in system.lines(data / "exclude.txt")]
    progress("default appliance (1/5): fetching Debian's and Python's packages")
    with ThreadPoolExecutor(2) as pool:
        downloads = pool.submit(wheels.download, list(locks.values()), inbox)
        wanted = (data / "packages.txt").read_text().split()
        debian.bootstrap(root, wanted, variant="minbase", hooks=excludes)
        downloads.result()
    progress("default appliance (2/5): installing the Python environments")
    left_out = system.lines(data / "python/left-out.txt")
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(
                wheels.install,
                root,
                f"/opt/{name}",
                lock,
                inbox,
                left_out=left_out,
                system_site=ENVIRONMENTS[name],
            )
            for name, lock in locks.items()
        ]:
            done.result()
    shutil.rmtree(inbox)
    progress("default appliance (3/5): configuring the system")
    system.configure(data, root)


def _image(data: Path, root: Path, scratch: Path, image: Path) -> Path:
    """Make the disk from the root file system."""
    kernel, modules = find_kernel(root)
    initrd = scratch / "initrd"
    initramfs.make(
        initrd,
        scratch=scratch / "initramfs",
        overlay=data / "initramfs",
        busybox=root / "bin/busybox",
        modules=modules,
        wanted=(data / "modules.txt").read_text().split(),
    )
    boot = scratch / "boot.img"
    disk.boot_partition(
        boot, BOOT_MIB, {"vmlinuz": kernel, "initrd": initrd}, (data / "syslinux.cfg").read_text()
    )
    ext4 = scratch / "root.img"
    disk.root_file_system(ext4, root, DISK_MIB - BOOT_MIB - 1, "CERNVMROOT")
    raw = scratch / "appliance.raw"
    disk.assemble(raw, boot, ext4)
    ext4.unlink()
    disk.qcow2(raw, image)
    return image
