"""libvirt's test driver as a host of machines: domains, pools and networks are libvirt's, in its memory.

It has no network filters, no streams and no uploads: the first are left out, the second lead to an agent
played here, the third make an empty volume of the right size.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cernvmcontroller.hypervisor.fakestream import MemoryStream
from cernvmcontroller.hypervisor.interface import AGENT_CHANNEL, ByteStream
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.interface import Progress, VolumeState
    from cernvmcontroller.hypervisor.specs import FilterSpec, Format

LOG = b"Linux version 6.1.0\r\n" * 20
"""What a machine writes to its console while it boots."""


class TestDriver(LibvirtHypervisor):
    """A host.

    Parameters
    ----------
    uri
        ``test:///absolute/path.xml``.
    session_of
        Returns the id of the session that the agent of a domain has already, None where it waits for one.
    """

    __test__ = False
    calls = 0
    """How many calls were made to libvirt, on all hosts together."""

    def __init__(self, uri: str, session_of: Callable[[str], str | None]) -> None:
        super().__init__(uri)
        self._session_of = session_of
        self._agents: set[asyncio.Task[None]] = set()
        self._count("call")
        self._count("call_long")

    def _count(self, name: str) -> None:
        call = getattr(self._connection, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            TestDriver.calls += 1
            return await call(*args, **kwargs)

        setattr(self._connection, name, counted)

    async def close(self) -> None:
        """Disconnect for good."""
        for task in self._agents:
            task.cancel()
        await super().close()

    async def define(self, xml: str) -> None:
        """Define, or define anew, as a domain of the test driver's own type."""
        await super().define(xml.replace('<domain type="qemu">', '<domain type="test">'))

    async def ensure_filter(self, spec: FilterSpec) -> None:
        """Do nothing: there are none."""

    async def remove_filter(self, name: str) -> None:
        """Do nothing: there are none."""

    async def upload_volume(
        self,
        pool: str,
        name: str,
        source: Path | bytes,
        *,
        format: Format,  # noqa: A002
        progress: Progress | None = None,
    ) -> VolumeState:
        """Make an empty volume of the right size."""
        del progress
        size = source.stat().st_size if isinstance(source, Path) else len(source)  # noqa: ASYNC240 - once a base
        return await self.create_volume(pool, name, capacity=size, format=format)

    async def open_console(self, uuid: str) -> ByteStream:
        """Open the console of a machine that booted."""
        del uuid
        ours, theirs = MemoryStream.pair()
        await theirs.write(LOG)
        return ours

    async def open_channel(self, uuid: str, name: str = AGENT_CHANNEL) -> ByteStream:
        """Open the channel to the agent that is played here."""
        del name
        ours, theirs = MemoryStream.pair()
        task = asyncio.create_task(play(theirs, self._session_of(uuid)))
        self._agents.add(task)
        task.add_done_callback(self._agents.discard)
        return ours


async def play(stream: ByteStream, session: str | None) -> None:
    """Be a machine's agent whose server answers as soon as it has its session."""
    state, rest = "ready" if session else "waiting", b""

    async def say(kind: str, **fields: Any) -> None:
        await stream.write(json.dumps({"type": kind, **fields}).encode() + b"\n")

    while data := await stream.read():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            match message["type"]:
                case "query":
                    await say(
                        "hello",
                        protocol=1,
                        agent="0.1.0",
                        boot_id="boot",
                        state=state,
                        session=session,
                        hostname="guest",
                    )
                case "session":
                    session, state = message["session"], "ready"
                    await say("reply", id=message["id"], ok=True)
                    await say("phase", phase="home", message="mounting")
                    await say("phase", phase="server", message="starting")
                    await say("ready", session=session, port=message["port"])
                case "stop":
                    await say("reply", id=message["id"], ok=True)
