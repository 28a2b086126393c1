"""System packages and what else needs root: done with root or sudo, else said."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


class Missing(Exception):
    """Something that only an administrator can provide; the text has the command."""


def listed(name: str) -> list[str]:
    """Return the packages that a list names."""
    lines = (Path(__file__).parent / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def missing(packages: list[str]) -> list[str]:
    """Return those that are not installed."""
    if shutil.which("dpkg-query") is None:
        raise Missing(f"This is not Debian. Install what these packages bring: {' '.join(packages)}")
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    done = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def prefix() -> list[str] | None:
    """Return what makes a command an administrator's: nothing for root, sudo if it may be used, else None."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    silent = subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL, check=False)  # noqa: S607
    if silent.returncode == 0 or sys.stdin.isatty():
        return ["sudo"]
    return None


def as_root(why: str, *commands: list[str]) -> None:
    """Run commands as root.

    Raises
    ------
    Missing
        When this account may not, or one fails.
    """
    before = prefix()
    readable = "\n".join("  " + shlex.join(command) for command in commands)
    if before is None:
        raise Missing(f"{why} Have an administrator run:\n{readable}")
    for command in commands:
        done = subprocess.run([*before, *command], check=False)
        if done.returncode != 0:
            raise Missing(f"{why} This failed ({done.returncode}):\n  {shlex.join(command)}")


def ensure(name: str) -> None:
    """Install what is missing of a list.

    Raises
    ------
    Missing
        When something is and cannot be installed from here.
    """
    wanted = missing(listed(name))
    if not wanted:
        return
    print(f"Installing Debian packages: {' '.join(wanted)}", flush=True)
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]
    as_root(
        f"These Debian packages are needed: {' '.join(wanted)}.",
        [*apt, "update"],
        [*apt, "install", "--yes", "--no-install-recommends", *wanted],
    )
