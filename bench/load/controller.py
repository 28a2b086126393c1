"""The program that is measured: the controller as it is, on hosts of libvirt's test driver.

Beside its API it answers questions about itself on a socket that it inherits: a line in, a line of JSON out.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from bench.load.site import AGENTS
from bench.load.testdriver import TestDriver
from cernvmcontroller.app import CernVMController

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AsyncExitStack

    from cernvmapi.models import Event
    from cernvmcontroller.engine import Engine
    from cernvmcontroller.hypervisor.interface import Hypervisor

QUESTIONS = "BENCH_QUESTIONS"
"""Environment variable with the number of the inherited socket."""


class MeasuredController(CernVMController):
    """The controller, with the hosts of the benchmark."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sessions: dict[str, str] = {}
        self.published: list[tuple[int, float]] = []
        """Id of each event since the last question, and the monotonic time right after its commit."""

    def open_hypervisor(self, uri: str) -> Hypervisor:
        """Return a host of the test driver."""
        return TestDriver(uri, self.sessions.get)

    async def open(self, stack: AsyncExitStack) -> Engine:
        """Return the engine, started, and answer questions about it."""
        self.sessions = json.loads((self.state / AGENTS).read_text())
        engine = await super().open(stack)
        publish = engine.events.publish

        def noted(events: Sequence[Event]) -> None:
            now = time.monotonic()
            self.published += [(event.id, now) for event in events]
            publish(events)

        engine.events.publish = noted  # type: ignore[method-assign]
        answering = asyncio.create_task(self._answer(engine))
        stack.callback(answering.cancel)
        return engine

    async def _answer(self, engine: Engine) -> None:
        inherited = socket.socket(fileno=int(os.environ[QUESTIONS]))
        reader, writer = await asyncio.open_connection(sock=inherited)
        while question := (await reader.readline()).strip():
            if question == b"quiet":
                await engine.reconciler.quiet()
            published, self.published = self.published, []
            tasks = asyncio.all_tasks()
            answer = {
                "calls": TestDriver.calls,
                "tasks": len(tasks),
                "agents": sum(task.get_name().startswith("agent ") for task in tasks),
                "published": published,
            }
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()


if __name__ == "__main__":
    MeasuredController.launch_instance()
