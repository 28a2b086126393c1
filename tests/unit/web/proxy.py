"""The proxy of JupyterHub itself, as `deployment` installs it, before servers of a test."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import httpx
from deployment.component import PROXY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOKEN = "a-token-of-the-tests-proxy"
DEADLINE = 60


def free_ports(number: int) -> list[int]:
    """Return ports that nobody has."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


class ProxyProcess:
    """A running configurable-http-proxy; use it as ``async with ProxyProcess(…) as proxy``.

    Parameters
    ----------
    default
        Where requests go for which there is no route.
    log
        File of what it says.
    options
        More of its options.
    """

    def __init__(self, default: str, log: Path, options: Sequence[str] = ()) -> None:
        self.default, self.log, self.options = default, log, options
        self.port, self.api_port = free_ports(2)
        self.origin = f"http://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *PROXY,
                *(
                    "--ip=127.0.0.1",
                    f"--port={self.port}",
                    "--api-ip=127.0.0.1",
                    f"--api-port={self.api_port}",
                ),
                f"--default-target={self.default}",
                *self.options,
                env={"PATH": os.environ["PATH"], "CONFIGPROXY_AUTH_TOKEN": TOKEN},
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(DEADLINE):
            while not await self._answers():
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)
        return self

    async def _answers(self) -> bool:
        with suppress(OSError):
            _reader, writer = await asyncio.open_connection("127.0.0.1", self.api_port)
            writer.close()
            return True
        return False

    async def route(self, path: str, target: str) -> None:
        """Send what begins with `path` to `target`."""
        async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"token {TOKEN}"}) as http:
            made = await http.post(
                f"http://127.0.0.1:{self.api_port}/api/routes{path}", json={"target": target}
            )
            assert made.status_code == 201, made.text

    async def __aexit__(self, *_error: object) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
