"""Lists what is installed in an image, with versions and licences."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LICENCE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)
"""A licence's short name in a machine-readable debian/copyright (DEP-5)."""

COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z]+(?:-[0-9.]*[0-9])?)")
"""Where the copyright file is prose, it points to the full text."""


def debian_packages(root: Path) -> list[dict[str, str]]:
    """Debian's packages in a root file system: name, version, licence (best effort)."""
    packages = []
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status|Source): (.*)$", paragraph, re.MULTILINE))
        if "Package" in fields and "deinstall" not in fields.get("Status", ""):
            packages.append(
                {
                    "name": fields["Package"],
                    "version": fields["Version"],
                    "licence": _licence(root / "usr/share/doc" / fields["Package"] / "copyright"),
                }
            )
    return sorted(packages, key=lambda package: package["name"])


def python_packages(site: Path) -> list[dict[str, str]]:
    """Python distributions in a ``site-packages``: name, version, licence."""
    packages = [
        {"name": found.name, "version": found.version, "licence": _python_licence(found)}
        for found in distributions(path=[str(site)])
    ]
    return sorted(packages, key=lambda package: package["name"].lower())


def _licence(path: Path) -> str:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    names = LICENCE.findall(text) or COMMON.findall(text)
    return ", ".join(dict.fromkeys(name.strip() for name in names))[:400]


def _python_licence(found: Distribution) -> str:
    # As old a Python as 3.11 promises less of it in its types than it keeps.
    about: Any = found.metadata
    stated = about.get("License-Expression") or about.get("License") or ""
    if not stated or "\n" in stated:  # some paste the whole text
        lines = about.get_all("Classifier") or []
        named = [line.rsplit(" :: ", 1)[-1] for line in lines if "License ::" in line]
        stated = ", ".join(named) or stated.split("\n", 1)[0]
    return stated[:200]
