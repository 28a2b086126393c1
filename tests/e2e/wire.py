"""The wire between controller and host, which a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from tests.lab.relay import relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.relay import Relay


class Wire:
    """A relay before libvirt's socket, told what to do from a test that knows nothing of event loops."""

    def __init__(self, loop: asyncio.AbstractEventLoop, made: Relay) -> None:
        self._loop = loop
        self._relay = made

    def fall_silent(self) -> None:
        """Keep all connections and pass nothing on, as a host does that hangs."""
        self._loop.call_soon_threadsafe(self._relay.fall_silent)

    def speak(self) -> None:
        """Pass everything on again."""
        self._loop.call_soon_threadsafe(self._relay.speak)


@contextlib.contextmanager
def wire(path: Path) -> Iterator[Wire]:
    """Return a wire that listens on `path`, served by a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="wire", daemon=True)
    thread.start()
    laid = relay(path)
    try:
        made = asyncio.run_coroutine_threadsafe(laid.__aenter__(), loop).result(10)
        try:
            yield Wire(loop, made)
        finally:
            asyncio.run_coroutine_threadsafe(laid.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
