"""A controller for the agent to talk to, and a machine that only remembers what was done to it."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from cernvmagent.agent import Agent
from cernvmagent.channel import Channel
from cernvmagent.server import Server, ServerFailed
from cernvmagent.work import Failed, Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cernvmagent.probe import Probe
    from cernvmagent.protocol import Home, Session

DEADLINE = 10.0


class Port:
    """A port that controllers connect to and leave, as a virtio-serial port is to the agent."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(DEADLINE)
        self._path = path

    def open(self) -> int:
        """The agent's side."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self._path))
        return client.detach()

    def connect(self) -> Controller:
        """The controller's side."""
        peer, _ = self._listener.accept()
        return Controller(peer)

    def close(self) -> None:
        self._listener.close()


class Controller:
    """The other end of the channel."""

    def __init__(self, peer: socket.socket) -> None:
        peer.settimeout(DEADLINE)
        self._peer = peer
        self._file = peer.makefile("rb")
        self.heard: list[dict[str, Any]] = []

    def say(self, kind: str, **fields: Any) -> None:
        self.say_bytes(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def say_bytes(self, data: bytes) -> None:
        self._peer.sendall(data)

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a type; others before it are kept in `heard`."""
        while line := self._file.readline():
            if line.strip():
                message: dict[str, Any] = json.loads(line)
                self.heard.append(message)
                if message["type"] == kind:
                    return message
        raise AssertionError(f"the agent left without saying {kind}: {self.heard}")

    def welcome(self, **fields: Any) -> dict[str, Any]:
        hello = self.hear("hello")
        self.say("welcome", **{"protocol": 1, "time": time.time()} | fields)
        return hello

    def session(self, name: str = "s-1", number: int = 1, **fields: Any) -> None:
        given = {
            "id": number, "session": name, "port": 8888, "command": ["true"], "env": {}, "files": [],
            "home": None, "wait_for_context": False,
        }  # fmt: skip
        self.say("session", **given | fields)

    def close(self) -> None:
        self._file.close()
        self._peer.close()


class Answering:
    """A probe of a server that answers when it is told to."""

    def __init__(self, machine: PretendMachine) -> None:
        self._machine = machine

    def answered(self) -> bool:
        return self._machine.answers

    def close(self) -> None:
        pass


class PretendMachine(Machine):
    """Remembers what was done to it; its server is a real process without rights."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__()
        self.done: list[str] = []
        self.env: dict[str, str] = {}
        self.answers = True
        self.context = threading.Event()
        self.context_errors: list[str] = []
        self.home_error: str | None = None
        self.servers: list[Server] = []
        self._tmp = tmp_path

    def wait_for_context(self, cancelled: Callable[[float], bool]) -> list[str]:
        self.done.append("context")
        while not self.context.is_set():
            if cancelled(0.01):
                return []
        return self.context_errors

    def write_files(self, session: Session) -> None:
        self.done.append("files")

    def mount_home(self, wanted: Home, cancelled: Callable[[float], bool]) -> None:
        self.done.append("home")
        if self.home_error:
            raise Failed("home", self.home_error)

    def start_server(self, session: Session) -> Server:
        self.done.append(f"server {session.session}")
        self.env = session.env
        path = os.environ["PATH"]
        try:
            server = Server(
                session.command, {"PATH": path} | session.env, str(self._tmp), user=None,
                log=str(self._tmp / "log/server.log"),
            )  # fmt: skip
        except ServerFailed as error:
            raise Failed("server", str(error)) from None
        self.servers.append(server)
        return server

    def probe(self, session: Session) -> Probe:
        return Answering(self)  # type: ignore[return-value]

    def leave(self) -> None:
        self.done.append("leave")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    port = Port(tmp_path / "port")
    yield port
    port.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[PretendMachine]:
    machine = PretendMachine(tmp_path)
    yield machine
    for server in machine.servers:
        with suppress(ProcessLookupError):
            server.process.kill()
        server.process.wait()
        server.close()


class Running:
    """An agent in a thread."""

    def __init__(self, agent: Agent, clocks: list[float], said: list[str]) -> None:
        self.agent = agent
        self.clocks = clocks
        """What its clock was told."""
        self.said = said
        """Its own log."""


@pytest.fixture
def running(port: Port, machine: PretendMachine) -> Iterator[Running]:
    clocks: list[float] = []
    said: list[str] = []

    def set_clock(seconds: float) -> bool:
        clocks.append(seconds)
        return True

    agent = Agent(Channel(port.open), machine, log=said.append, set_clock=set_clock)
    thread = threading.Thread(target=agent.run)
    thread.start()
    yield Running(agent, clocks, said)
    agent.end()
    thread.join(DEADLINE)
    assert not thread.is_alive()


@pytest.fixture
def controller(running: Running, port: Port) -> Iterator[Controller]:
    controller = port.connect()
    yield controller
    controller.close()
