"""Debian's packages, fetched the way this machine fetches its own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.commands import BuildFailed, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUITE = "bookworm"
SOURCES = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)
"""What the appliance itself uses later, and the builder where the machine names nothing better."""

SUITES = {"bookworm", "bookworm-updates", "bookworm-security"}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def bootstrap(
    target: Path,
    packages: Iterable[str],
    *,
    variant: str,
    hooks: Sequence[str] = (),
    apt: Path = Path("/etc/apt"),
) -> None:
    """Fill a folder with Debian packages and what they need.

    Parameters
    ----------
    target
        The folder to make.
    packages
        Names of packages.
    variant
        Of mmdebstrap: ``extract`` unpacks only, ``minbase`` makes a system.
    hooks
        More arguments for mmdebstrap (``--customize-hook=…``).
    apt
        Folder with this machine's sources.
    """
    if os.geteuid() != 0:
        raise BuildFailed("Building needs root: files in an image belong to many users. Run it with sudo.")
    options = [f"--aptopt={option}" for option in host_options()]
    run(
        "mmdebstrap", "--mode=root", "--format=directory", f"--variant={variant}", f"--keyring={KEYRING}",
        f"--include={','.join(packages)}",
        *options, *hooks, SUITE, target, *host_sources(apt),
    )  # fmt: skip
    # These were the builder's ways to the archive (its proxy …), not the appliance's.
    (target / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    (target / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink(missing_ok=True)
    (target / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in SOURCES))


def host_options() -> list[str]:
    """How this machine reaches archives: its apt options of group ``Acquire``, as ``name "value"``."""
    lines = run("apt-config", "dump", "Acquire").decode().splitlines()
    wanted = re.compile(r'^Acquire::(?:(?:http|https|ftp)::[\w:.-]+|Check-[\w-]+|Retries) ".+";$')
    return [line.removesuffix(";") for line in lines if wanted.match(line)]


def host_sources(apt: Path) -> list[str]:
    """Which archives of Debian this machine uses, in apt's one-line form; Debian's own where it names none.

    Other projects' archives are left out: the appliance is Debian.
    """
    lines: list[str] = []
    for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]:
        if path.is_file():
            lines += path.read_text().splitlines()
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        lines += _one_line_form(path.read_text())
    found: dict[str, None] = {}
    for line in lines:
        match = re.match(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$", line.strip())
        if match and match[2] in SUITES and "main" in match[3].split():
            found[f"deb {match[1]} {match[2]} main"] = None
    if not any(line.split()[2] == SUITE for line in found):
        return list(SOURCES)
    return list(found)


def _one_line_form(text: str) -> list[str]:
    """Turn deb822 paragraphs into lines."""
    lines = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields.setdefault(key, []).extend(line.split())
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.lower()
                fields[key] = value.split()
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            lines += [
                f"deb {uri} {suite} {' '.join(fields.get('components', []))}"
                for uri in fields.get("uris", [])
                for suite in fields.get("suites", [])
            ]
    return lines
