"""The words that agent and controller exchange, as pure functions: JSON lines, checked on both ends.

Version 1. Every message is an object with a ``type``, in UTF-8, ended by a newline. The agent says
``hello``, ``phase``, ``ready``, ``failed``, ``exited`` and ``reply``; the controller ``welcome``, ``query``,
``session``, ``stop`` and ``clock``. Fields that are not known are ignored, so that either side may learn
new ones.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOL = 1
PORT_NAME = "org.cernvmhub.agent.0"
"""Of the virtio-serial port."""

MAX_LINE = 1024 * 1024
"""Bytes of a message, its newline included."""

SECRETS = "/run/cernvmhub"
"""Where the files of a session go: in memory."""

IDS = ("request_id", "machine", "operation")
"""Fields of `session` and `stop` that say what they are for; each may be missing."""

_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}\Z")
_FILE = re.compile(rf"^{SECRETS}(/[A-Za-z0-9_-][A-Za-z0-9._-]*){{1,8}}$")
_ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
_SERIAL = re.compile(r"^[A-Za-z0-9._-]{1,20}$")
_MOUNT = re.compile(r"^/(home|workspace|data)(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,4}$")


class Garbage(Exception):
    """What arrived is not a message of this protocol; `id` is set when it asked for a reply."""

    def __init__(self, reason: str, number: int | None = None) -> None:
        super().__init__(reason)
        self.id = number


class Welcome(NamedTuple):
    """The controller is there."""

    protocol: int
    time: float | None


class Query(NamedTuple):
    """The controller wants to know the state."""


class SecretFile(NamedTuple):
    """A file that only the server's user may read."""

    path: str
    content: str
    mode: int

    def __repr__(self) -> str:
        """Leave out the content."""
        return f"SecretFile({self.path})"


class Home(NamedTuple):
    """The home's disk, and where it belongs."""

    serial: str
    mount: str


class Session(NamedTuple):
    """What the notebook server needs."""

    id: int | None
    session: str
    port: int
    command: list[str]
    env: dict[str, str]
    files: list[SecretFile]
    home: Home | None
    wait_for_context: bool
    about: str = ""
    """What it is for, as the controller's log names it."""

    def __repr__(self) -> str:
        """Leave out what nobody else may know."""
        return f"Session({self.session})"


class Stop(NamedTuple):
    """End the server, and leave the home clean."""

    id: int | None
    about: str = ""


class Clock(NamedTuple):
    """What time it is."""

    id: int | None
    time: float


Message = Welcome | Query | Session | Stop | Clock


def encode(message: dict[str, Any]) -> bytes:
    """Encode a message as a line; one that is too long loses the beginning of its log."""
    line = json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE and message.get("log_tail"):
        return encode(message | {"log_tail": ""})
    return line


def decode(line: bytes) -> Message:
    """Decode and check a line from the controller.

    Raises
    ------
    Garbage
        When it is none; the reason names fields, never their contents.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Garbage("This is not JSON.") from None
    if not isinstance(message, dict):
        raise Garbage("A message is an object.")
    number = message.get("id")
    if not _is_int(number):
        number = None
    kind = message.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise Garbage("This agent does not know this type of message.", number)
    try:
        return reader(message, number)
    except Garbage as garbage:
        garbage.id = number
        raise


class Lines:
    """Cuts a stream of bytes into lines; what is longer than a message may be is dropped, to its end."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes; return the lines that they complete, without newlines, empty ones left out."""
        lines = []
        while data:
            piece, newline, data = data.partition(b"\n")
            if not self._skipping:
                self._rest += piece
                if len(self._rest) >= MAX_LINE:
                    self._skipping = True
                    self._rest.clear()
            if newline:
                if self._rest.strip() and not self._skipping:
                    lines.append(bytes(self._rest))
                self.clear()
        return lines

    def clear(self) -> None:
        """Forget what was begun: whoever wrote it is gone."""
        self._rest.clear()
        self._skipping = False


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _time(message: dict[str, Any]) -> float:
    value = message.get("time")
    # Between 2001 and 2286: anything else is a mistake that would break certificates.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e9 < value < 1e10:
        raise Garbage("time is a number of seconds since 1970.")
    return float(value)


def _welcome(message: dict[str, Any], _: int | None) -> Welcome:
    protocol = message.get("protocol")
    if not isinstance(protocol, int) or not _is_int(protocol):
        raise Garbage("protocol is a number.")
    return Welcome(protocol, _time(message) if "time" in message else None)


def _session(message: dict[str, Any], number: int | None) -> Session:
    name = message.get("session")
    if not isinstance(name, str) or not 1 <= len(name) <= 128:
        raise Garbage("session is a name.")
    port = message.get("port", 8888)
    if not isinstance(port, int) or not _is_int(port) or not 1 <= port <= 65535:
        raise Garbage("port is a TCP port.")
    command = message.get("command")
    if not isinstance(command, list) or not command or not all(_word(word) for word in command):
        raise Garbage("command is a list of words.")
    env = message.get("env", {})
    if not isinstance(env, dict) or not all(
        _ENV_NAME.match(key) and _word(value) for key, value in env.items()
    ):
        raise Garbage("env is an object of names and texts.")
    files = message.get("files", [])
    if not isinstance(files, list):
        raise Garbage("files is a list.")
    wait = message.get("wait_for_context", False)
    if not isinstance(wait, bool):
        raise Garbage("wait_for_context is true or false.")
    return Session(
        number, name, port, command, env, [_file(file) for file in files], _home(message.get("home")), wait,
        _about(message),
    )  # fmt: skip


def _about(message: dict[str, Any]) -> str:
    """Put together the ids by which the controller's log is searched; what is none is left out."""
    ids = ((name, message.get(name)) for name in IDS)
    return " ".join(f"{name}={value}" for name, value in ids if isinstance(value, str) and _ID.match(value))


def _file(file: object) -> SecretFile:
    if not isinstance(file, dict):
        raise Garbage("A file is an object.")
    path, content, mode = file.get("path"), file.get("content"), file.get("mode", 0o400)
    if not isinstance(path, str) or not _FILE.match(path):
        raise Garbage(f"A file's path is below {SECRETS}.")
    if not isinstance(content, str):
        raise Garbage("A file's content is a text.")
    if not isinstance(mode, int) or not _is_int(mode) or not 0 <= mode <= 0o777:
        raise Garbage("A file's mode is a number up to 0777.")
    return SecretFile(path, content, mode)


def _home(home: object) -> Home | None:
    if home is None:
        return None
    if not isinstance(home, dict):
        raise Garbage("home is an object.")
    serial, mount = home.get("serial"), home.get("mount")
    if not isinstance(serial, str) or not _SERIAL.match(serial):
        raise Garbage("A home's serial is a name of up to 20 letters.")
    if not isinstance(mount, str) or not _MOUNT.match(mount):
        raise Garbage("A home's mount point is below /home, /workspace or /data.")
    return Home(serial, mount)


def _word(value: object) -> bool:
    """Whether a value can be an argument or a variable of a process."""
    return isinstance(value, str) and "\0" not in value


_READERS: dict[str, Callable[[dict[str, Any], int | None], Message]] = {
    "welcome": _welcome,
    "query": lambda _message, _number: Query(),
    "session": _session,
    "stop": lambda message, number: Stop(number, _about(message)),
    "clock": lambda message, number: Clock(number, _time(message)),
}
