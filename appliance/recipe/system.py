"""Turns a Debian root file system into an appliance: overlay, user, units, and nothing personal."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from recipe.chroot import inside

if TYPE_CHECKING:
    from pathlib import Path

MOUNT_POINTS = ("cvmfs", "workspace", "data", "opt/cernvmhub/layer", "home/cernvm")
"""CernVM's own, the layer's and the home's."""

PERSONAL = (
    "etc/ssh/ssh_host_*", "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret",
    "var/lib/dbus/machine-id",
    "etc/resolv.conf", "root/.*history", "root/.cache", "root/.config", "tmp/*",
    "var/tmp/*", "run/*", "var/log/*.log", "var/log/apt/*", "var/lib/apt/lists/*",
    "var/cache/apt/*.bin", "var/cache/apt/archives/*.deb",
    "var/cache/debconf/*-old", "var/lib/dpkg/*-old", "etc/*-", "var/cache/ldconfig/aux-cache", "etc/pip.conf",
)  # fmt: skip
"""What differs from machine to machine, or came from the builder."""


def configure(data: Path, root: Path) -> None:
    """Configure a root file system.

    Parameters
    ----------
    data
        The recipe's folder.
    root
        The root file system, with its packages and Python environments.
    """
    for folder in MOUNT_POINTS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    _user(root)
    _overlay(data / "overlay", root)
    _units(data, root)
    _kernelspec(root)
    _font_cache(root)
    # A machine's kernel comes with its appliance: it boots from the recipe's own partition.
    inside(root, "apt-mark", "hold", "linux-image-cloud-amd64")
    for initrd in root.glob("boot/initrd*"):
        initrd.unlink()
    _nothing_personal(root)


def _user(root: Path) -> None:
    inside(root, "useradd", "--uid", "1000", "--user-group", "--no-create-home", "--shell", "/bin/bash",
           "--comment", "CernVM user", "cernvm")  # fmt: skip
    # "!" is no password: nobody logs in by one, neither here nor as root.
    inside(root, "usermod", "--lock", "root")
    inside(root, "chown", "cernvm:cernvm", "/home/cernvm", "/workspace", "/data")
    (root / "home/cernvm").chmod(0o700)


def _overlay(overlay: Path, root: Path) -> None:
    for source in sorted(overlay.rglob("*")):
        target = root / source.relative_to(overlay)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        # Git keeps the executable bit only.
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
        os.chown(target, 0, 0)
    (root / "etc/sudoers.d/cernvm").chmod(0o440)


def _units(data: Path, root: Path) -> None:
    masks = lines(data / "masked.txt")
    inside(root, "systemctl", "--quiet", "mask", *masks)
    inside(root, "systemctl", "--quiet", "enable", *lines(data / "enabled.txt"))
    inside(root, "systemctl", "--quiet", "set-default", "multi-user.target")
    # It only decides whether cloud-init is needed, by a long shell script, before the first unit starts.
    generators = root / "etc/systemd/system-generators"
    generators.mkdir(exist_ok=True)
    for name in ("cloud-init-generator", "systemd-sysv-generator", "systemd-gpt-auto-generator"):
        (generators / name).symlink_to("/dev/null")
    inside(root, "systemctl", "--quiet", "add-wants", "multi-user.target", "cloud-init.target")


def _kernelspec(root: Path) -> None:
    """Make the server start kernels in their own environment."""
    spec = root / "opt/server/share/jupyter/kernels/python3/kernel.json"
    spec.write_text(
        json.dumps(
            {
                "argv": ["/opt/kernel/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Python 3",
                "language": "python",
                # What a notebook calls with "!" is its own environment's, not the server's.
                "env": {"PATH": "/opt/kernel/bin:${PATH}"},
                "metadata": {"debugger": True},
            },
            indent=1,
        )
        + "\n"
    )


def _font_cache(root: Path) -> None:
    """Spare each user the time in which matplotlib looks at every font."""
    inside(root, "/usr/bin/env", "MPLCONFIGDIR=/etc/skel/.cache/matplotlib",
           "/opt/kernel/bin/python", "-c", "import matplotlib.font_manager")  # fmt: skip


def _nothing_personal(root: Path) -> None:
    for pattern in PERSONAL:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    # Empty, not missing: systemd makes one at boot and does not take it for a first boot with presets.
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus").mkdir(exist_ok=True)
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (root / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    for log in (root / "var/log").rglob("*"):
        if log.is_file():
            log.write_bytes(b"")


def lines(path: Path) -> list[str]:
    """Read a list of a recipe: one entry a line, comments begin with ``#``."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
