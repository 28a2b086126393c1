"""Reading a feed in a process of its own, with an end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import msgspec

from cernvmapi.errors import SourceFailed
from cernvmcontroller.catalogue.readers.__main__ import Answer, Request
from cernvmcontroller.catalogue.readers.document import Document  # noqa: TC001 - of the signature

SECONDS = 60
"""How long reading a feed may take; it has a third of that of a processor's time."""
_PROGRAM = "cernvmcontroller.catalogue.readers"
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")
"""The variables that the process gets: none of the controller's secrets."""


async def read_apart(content: bytes, url: str, authority: str | None = None) -> Document:
    """Return what a feed says, as `cernvmcontroller.catalogue.readers.reading.read` does.

    Raises
    ------
    SourceFailed
        As there; or it took too long, or too much memory.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", _PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    request = msgspec.msgpack.encode(Request(content, url, authority))
    try:
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate(request)
    except TimeoutError:
        raise SourceFailed(f"Reading the feed took more than {SECONDS} seconds and was given up.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer = msgspec.msgpack.decode(said, type=Answer)
    except msgspec.DecodeError:
        raise SourceFailed("Reading the feed took more time or memory than a feed may take.") from None
    if answer.document is None:
        raise SourceFailed(answer.error)
    return answer.document
