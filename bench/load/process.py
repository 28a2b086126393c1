"""The controller's process as the benchmark holds it: started, asked, weighed, ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from deployment.settings import ROOT

from bench.installation import BenchFailed
from bench.load.controller import QUESTIONS
from cernvmapi.client import AsyncClient
from cernvmapi.errors import CernVMError
from cernvmapi.models import API_PREFIX

if TYPE_CHECKING:
    from bench.load.site import Site

PATIENCE = 300
_LONGEST_ANSWER = 64 * 1024 * 1024
_MIB = 1024 * 1024


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Weight:
    """What a process has."""

    rss_mib: float
    open_files: int
    tasks: int
    published: list[tuple[int, float]]
    """Id and monotonic time of each event since it was asked last."""


class Controller:
    """A controller at a site; an asynchronous context manager.

    Parameters
    ----------
    site
        Not built yet.
    options
        More of `CernVMController`'s.
    """

    def __init__(self, site: Site, **options: Any) -> None:
        self.site = site
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{API_PREFIX}"
        self.client = AsyncClient(self.url, site.token)
        self.listens = self.ready = 0.0
        """Seconds from the program's start until it answers, and until it lists machines."""
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.site.build(port=self.port, **self._options)
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {
            QUESTIONS: str(theirs.fileno()),
            "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
            "JUPYTERHUB_API_TOKEN": "nobody-is-asked",
            "JUPYTERHUB_CLIENT_ID": "service-cernvm",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/cernvm/",
        }
        began = time.monotonic()
        with (self.site.folder / "controller.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL"),
                *(sys.executable, "-m", "bench.load.controller", "--config", str(self.site.config)),
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_ANSWER)
        await self._until(began, self.client.health)
        self.listens = time.monotonic() - began
        await self._until(began, lambda: self.client.machines.list(limit=1))
        self.ready = time.monotonic() - began

    async def _until(self, began: float, call: Any) -> None:
        while True:
            try:
                await call()
            except CernVMError as error:
                assert self._process is not None
                if self._process.returncode is not None or time.monotonic() - began > PATIENCE:
                    raise BenchFailed(f"The controller does not start ({error}):\n{self.log()}") from error
                await asyncio.sleep(0.02)
            else:
                return

    async def _end(self) -> None:
        await self.client.close()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(30):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if hasattr(self, "_writer"):
            self._writer.close()

    def log(self) -> str:
        """Return the end of what it logged."""
        return (self.site.folder / "controller.log").read_text()[-4000:]

    async def ask(self, question: str = "now") -> dict[str, Any]:
        """Return what the program says about itself.

        Parameters
        ----------
        question
            ``now``, or ``quiet``: as soon as no machine is worked on any more.
        """
        self._writer.write(question.encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        if not line:
            raise BenchFailed(f"The controller ended:\n{self.log()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def settled(self) -> dict[str, Any]:
        """Return what the program says when it is linked with every running machine and has nothing to do."""
        wanted = sum(known.running for known in self.site.known)
        while (await self.ask())["agents"] < wanted:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
        return await self.ask("quiet")

    async def weight(self) -> Weight:
        """Return what it has of memory, open files and tasks."""
        assert self._process is not None
        said = await self.ask()
        pid = self._process.pid
        proc = Path(f"/proc/{pid}")
        pages = int((proc / "statm").read_text().split()[1])
        rss = pages * os.sysconf("SC_PAGE_SIZE") / _MIB
        files = len(list((proc / "fd").iterdir()))
        return Weight(rss, files, said["tasks"], said["published"])

    async def requests(self) -> dict[str, int]:
        """Return how many requests were answered, by method and route."""
        found: dict[str, int] = {}
        for line in (await self.client.metrics()).splitlines():
            if line.startswith("cernvm_request_seconds_count{"):
                labels, _, count = line.removeprefix("cernvm_request_seconds_count{").rpartition("} ")
                said = dict(part.split("=", 1) for part in labels.replace('"', "").split(","))
                key = f"{said['method']} {said['route']}"
                found[key] = found.get(key, 0) + int(float(count))
        return found
