"""A controller as a process of its own, as tests need it that kill it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from cernvmapi.client import AsyncClient
from cernvmapi.errors import CernVMError
from cernvmapi.models import API_PREFIX

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN = "the-hubs-own-token-of-the-lab-0123456789"
_PATIENCE = 30
_HUB = {
    "JUPYTERHUB_API_TOKEN": "nobody-is-asked",
    "JUPYTERHUB_CLIENT_ID": "service-cernvm",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/cernvm/",
}
"""What the hub tells its services; none runs here, and the hub's own token is known without it."""


class Program:
    """A controller that is started, killed and started again.

    Parameters
    ----------
    options
        Of the controller; its state folder is made.
    folder
        For its configuration and its log.
    """

    def __init__(self, options: dict[str, Any], folder: Path) -> None:
        self._folder = folder
        self._log = folder / "controller.log"
        self._process: subprocess.Popen[bytes] | None = None
        url = f"http://127.0.0.1:{_free_port()}"
        lines = [f"c.CernVMController.{name} = {value!r}" for name, value in options.items()]
        lines += [
            f"c.CernVMController.bind_url = {url!r}",
            f"c.CernVMController.hub_token_file = {str(folder / 'hub_token')!r}",
        ]
        (folder / "controller_config.py").write_text("\n".join(lines))
        (folder / "hub_token").touch(mode=0o600)
        (folder / "hub_token").write_text(_TOKEN)
        self.client = AsyncClient(url + API_PREFIX, token=_TOKEN)

    @property
    def log(self) -> str:
        """What it wrote, in all its lives."""
        return self._log.read_text()

    async def start(self) -> None:
        """Start it and wait until it answers."""
        process = self._process = self._spawn()
        deadline = time.monotonic() + _PATIENCE
        while not await self._answers():
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Kill it where it is; no error where it is dead already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def close(self) -> None:
        """End it for good."""
        self.kill()
        await self.client.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cernvmcontroller.app"],
                cwd=self._folder,
                env=os.environ | _HUB,
                stdout=log,
                stderr=log,
            )

    async def _answers(self) -> bool:
        try:
            await self.client.machines.list()
        except CernVMError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
