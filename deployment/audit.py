"""``make audit``: ask the registries which of the pinned packages have known flaws.

A flaw fails it. A registry that cannot say does not: a mirror may have packages and no advisories, and a
network's fault must not look like one of ours. What was not looked at is named, and is no "nothing found".
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployment import interface
from deployment.environment import HERE, VENV
from deployment.interface import NPM

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 600
"""Seconds until a registry that does not answer is left."""


@dataclass(frozen=True)
class Verdict:
    """What a registry says of the pinned packages of one world."""

    flaws: tuple[str, ...] = ()
    """A line each: package, version, flaw, what mends it."""
    unknown: str = ""
    """Why the registry could not say, or of what; empty where it knows all."""

    def text(self, world: str) -> str:
        """Return it for a person."""
        found = [f"{world}: raise the pins of", *(f"  {flaw}" for flaw in self.flaws)] if self.flaws else []
        if self.unknown:
            found.append(f"{world}: NOT LOOKED AT, {self.unknown}")
        return "\n".join(found) or f"{world}: no known flaws"


def of_python(answer: str, complaint: str) -> Verdict:
    """Return what ``pip-audit --format json`` found.

    Parameters
    ----------
    answer, complaint
        Its output and its standard error.
    """
    report = _json(answer)
    if "dependencies" not in report:
        return Verdict(unknown=_last(complaint))
    flaws, skipped = [], []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            skipped.append(package["name"])
        for flaw in package.get("vulns", ()):
            mended = " or ".join(flaw["fix_versions"]) or "nothing yet"
            flaws.append(f"{package['name']} {package['version']}: {flaw['id']}, mended by {mended}")
    total = len(report["dependencies"])
    unknown = f"the registry knows nothing of {len(skipped)} of {total} packages" if skipped else ""
    return Verdict(tuple(flaws), unknown)


def of_node(answer: str, complaint: str) -> Verdict:
    """Return what ``npm audit --json`` found; the same parameters."""
    report = _json(answer)
    if "auditReportVersion" not in report:
        return Verdict(unknown=report.get("message") or _last(complaint))
    flaws = []
    for name, package in sorted(report["vulnerabilities"].items()):
        via = [each["url"] if isinstance(each, dict) else each for each in package["via"]]
        flaws.append(f"{name} {package['range']}: {package['severity']}, {', '.join(via)}")
    return Verdict(tuple(flaws))


def _json(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _last(complaint: str) -> str:
    lines = complaint.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def python() -> Verdict:
    """Ask PyPI; the auditor has an environment of its own, for what it needs must not pin what we ship."""
    tools = VENV / "audit"
    if not (tools / "bin" / "pip-audit").exists():
        for command in (
            [sys.executable, "-m", "venv", str(tools)],
            [str(tools / "bin" / "pip"), "--quiet", "install", "pip-audit"],
        ):
            made = subprocess.run(command, check=False, capture_output=True, text=True)
            if made.returncode != 0:
                return Verdict(unknown=f"pip-audit cannot be installed: {_last(made.stderr)}")
    pins = str(HERE / "constraints.txt")
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "-r", pins]
    return of_python(*_said([str(tools / "bin" / "pip-audit"), *options]))


def node(folder: Path) -> Verdict:
    """Ask npm's registry about the lock file in `folder`."""
    options = ["--prefix", str(folder), "--package-lock-only", "--json"]
    return of_node(*_said([sys.executable, "-c", NPM, "audit", *options]))


def _said(command: list[str]) -> tuple[str, str]:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return "", f"the registry did not answer within {PATIENCE} seconds"
    return done.stdout, done.stderr


def main() -> int:
    """Audit all worlds, whatever the first one says; return whether any has a flaw."""
    verdicts = {
        "Python": python(),
        "Node, the proxy": node(HERE / "proxy"),
        "Node, the interface": node(interface.SOURCES),
    }
    for world, verdict in verdicts.items():
        print(verdict.text(world), flush=True)
    return int(any(verdict.flaws for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
