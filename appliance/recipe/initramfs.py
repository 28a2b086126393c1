"""Makes initial RAM disks: a static busybox, the few kernel modules that are needed, an init script.

Small on purpose: under emulation the generic initramfs with its udev costs seconds of every boot.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from recipe.commands import BuildFailed, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DEPENDS = re.compile(rb"\0?depends=([^\0]*)\0")
"""The kernel's own note in a module of what it needs (``modinfo -F depends``)."""


def module_order(modules: Path, wanted: Iterable[str]) -> list[Path]:
    """Find modules and what they need, each after its own needs.

    Parameters
    ----------
    modules
        ``lib/modules/<version>`` of a kernel.
    wanted
        Names of modules; what is built into the kernel is left out.

    Raises
    ------
    BuildFailed
        When the kernel knows no such module.
    """
    found = {_name(path.stem): path for path in (modules / "kernel").rglob("*.ko")}
    builtin = {_name(line.rsplit("/", 1)[-1].removesuffix(".ko"))
               for line in (modules / "modules.builtin").read_text().splitlines()}  # fmt: skip
    order: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in order or name in builtin:
            return
        if name not in found:
            raise BuildFailed(f"The kernel {modules.name} has no module {name}.")
        match = DEPENDS.search(found[name].read_bytes())
        for need in match[1].decode().split(",") if match else ():
            if need:
                add(_name(need))
        order[name] = found[name]

    for name in wanted:
        add(_name(name))
    return list(order.values())


def make(
    target: Path, *, scratch: Path, overlay: Path, busybox: Path, modules: Path, wanted: Iterable[str]
) -> None:
    """Make a zstd-compressed initial RAM disk.

    Parameters
    ----------
    overlay
        Folder with ``init`` and whatever else belongs into it.
    scratch
        A folder that does not exist yet, to lay it out in.
    """
    shutil.copytree(overlay, scratch, symlinks=True)
    for folder in ("bin", "dev", "proc", "sys", "run", "tmp", "modules", "root"):
        (scratch / folder).mkdir(exist_ok=True)
    shutil.copy2(busybox, scratch / "bin/busybox")
    order = module_order(modules, wanted)
    for path in order:
        shutil.copy2(path, scratch / "modules" / path.name)
    (scratch / "modules/order").write_text("".join(f"{path.name}\n" for path in order))
    names = sorted(str(path.relative_to(scratch)) for path in scratch.rglob("*"))
    archive = run("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "--reproducible",
                  stdin="\n".join([".", *names, ""]).encode(), cwd=scratch)  # fmt: skip
    target.write_bytes(run("zstd", "-q", "-19", "-c", stdin=archive))


def _name(module: str) -> str:
    return module.replace("-", "_")
