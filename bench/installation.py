"""An installation for the benchmark: ``make run`` with names and ports of its own, and a hub to drive."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from deployment.settings import ROOT, Settings

from cernvmcontroller.statedir import write_private

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = "bench"
TOKEN = "bench_token"  # noqa: S105 - the file's name
PATIENCE = 900
"""Seconds for everything to be ready; the appliance may have to be built."""


class BenchFailed(Exception):
    """Something could not be measured; the text says what and why."""


class Installation:
    """Proxy, hub and controller, as a person would run them.

    Parameters
    ----------
    folder
        Where its state is.
    """

    def __init__(self, folder: Path) -> None:
        self.variables = {
            "STATE": str(folder / "state"),
            "PORT": os.environ.get("BENCH_PORT", "18900"),
            "HUB_NAME": "cernvmbench",
            "SUBNET": os.environ.get("BENCH_SUBNET", "10.82.0.0/20"),
        }
        self.output = folder / "run.log"
        self.settings = Settings.from_environment(self.variables)
        self.settings.state.mkdir(mode=0o700)
        self.token = secrets.token_hex(32)
        write_private(self.settings.secret(TOKEN), self.token)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, hub_config: str) -> None:
        """Start with a configuration of the hub, and return when it says where it is."""
        self.output.write_bytes(b"")
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "deployment.run"],
                cwd=ROOT,
                env=os.environ | self.variables | {"HUB_CONFIG": hub_config},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while "CernVM Hub is at" not in self.output.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchFailed(f"The installation does not start:\n{self.output.read_text()}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End the processes; machines would stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=120)

    def clean(self) -> None:
        """End the processes and remove everything that the installation made."""
        self.stop()
        done = subprocess.run(
            [sys.executable, "-m", "deployment.clean"],
            cwd=ROOT,
            env=os.environ | self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
