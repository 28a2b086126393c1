"""Python environments of an appliance: downloaded by the builder's pip, installed offline inside."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.chroot import inside
from recipe.commands import BuildFailed, run

if TYPE_CHECKING:
    from collections.abc import Iterable

PYTHON = "3.11"
PYTHON_PATCH = "3.11.2"
"""Of Debian 12."""


def download(locks: Iterable[Path], wheels: Path) -> None:
    """Download what lock files name for the appliance's Python, whatever Python runs the builder."""
    for lock in locks:
        run(
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary=:all:", f"--python-version={PYTHON_PATCH}", "--implementation=cp",
            "--dest", wheels, "--requirement", lock,
        )  # fmt: skip


def install(
    root: Path, environment: str, lock: Path, wheels: Path, *, left_out: Iterable[str], system_site: bool
) -> None:
    """Make a virtual environment in a root file system and fill it from downloaded wheels.

    Parameters
    ----------
    root
        The root file system.
    environment
        Path of the environment in there.
    lock
        Requirements with hashes.
    wheels
        Folder of wheels; pip itself is among them.
    left_out
        Names in the lock that are not to be installed.
    system_site
        Let the environment see Debian's packages and the user's own (``pip install --user``).
    """
    pip = next(iter(wheels.glob("pip-*.whl")), None)
    if pip is None:
        raise BuildFailed("The lock of the kernel's environment names no pip.")
    inbox = root / "tmp" / f"wheels-{Path(environment).name}"
    inbox.mkdir()
    for wheel in wheels.glob("*.whl"):
        (inbox / wheel.name).hardlink_to(wheel)
    (inbox / "lock.txt").write_text(without(lock.read_text(), left_out))
    place = f"/{inbox.relative_to(root)}"
    options = ["--system-site-packages"] if system_site else []
    inside(root, "python3", "-m", "venv", "--without-pip", *options, environment)
    inside(root, f"{environment}/bin/python", f"{place}/{pip.name}/pip", "install", "--quiet", "--no-index",
           "--no-deps", "--no-compile", "--ignore-installed", "--no-cache-dir", "--disable-pip-version-check",
           "--root-user-action=ignore", "--require-hashes", "--find-links", place,
           "--requirement", f"{place}/lock.txt")  # fmt: skip
    shutil.rmtree(inbox)
    site = root / environment.lstrip("/") / "lib" / f"python{PYTHON}" / "site-packages"
    for tests in [path for path in site.rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests, ignore_errors=True)
    (site / "cernvmhub-layer.pth").write_text("/opt/cernvmhub/layer/site-packages\n")
    # Never checked against its source: nothing changes under a machine's feet, and each look costs.
    inside(
        root, f"{environment}/bin/python", "-m", "compileall", "-q",
        "--invalidation-mode", "unchecked-hash", f"/{site.relative_to(root)}",
        accept_failure=True,  # some packages carry templates that are not Python yet
    )  # fmt: skip


def without(lock: str, left_out: Iterable[str]) -> str:
    """Take requirements, with their hashes, out of a lock file's text."""
    names = "|".join(re.escape(name) for name in left_out)
    return (
        re.sub(rf"^(?:{names})==.*\\\n(?:    --hash=.*\n)+", "", lock, flags=re.MULTILINE) if names else lock
    )
