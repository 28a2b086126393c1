"""The agent's protocol, version 1: JSON lines over virtio-serial. What a guest says is hostile input.

Pure: bytes in, checked messages out. See docs for the protocol's description; the guest's half is
``cernvmagent``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from cernvmapi.models import Session

PROTOCOL = 1
MAX_LINE = 1024 * 1024
"""Bytes of one line; the guest's side refuses longer ones too."""
ENVELOPE = 1024
"""Bytes that a session's message has at most beside the session itself: ids and names, all of them ours."""

Id = Annotated[str, Meta(max_length=64)]
Short = Annotated[str, Meta(max_length=1024)]
LogTail = Annotated[str, Meta(max_length=256 * 1024)]


class Hello(Struct, tag_field="type", tag="hello", frozen=True):
    """The agent is there, and in which state."""

    protocol: int
    agent: Annotated[str, Meta(max_length=64)] = ""
    boot_id: Annotated[str, Meta(max_length=64)] = ""
    state: Annotated[str, Meta(max_length=32)] = "waiting"
    session: Id | None = None
    hostname: Annotated[str, Meta(max_length=255)] = ""


class PhaseSaid(Struct, tag_field="type", tag="phase", frozen=True):
    """What the agent does now."""

    phase: Annotated[str, Meta(max_length=32)]
    message: Short = ""


class Ready(Struct, tag_field="type", tag="ready", frozen=True):
    """The server answers on its port."""

    session: Id
    port: Annotated[int, Meta(ge=1, le=65535)]


class Failed(Struct, tag_field="type", tag="failed", frozen=True):
    """The agent could not do what the session asks for."""

    session: Id | None = None
    phase: Annotated[str, Meta(max_length=32)] = ""
    reason: Annotated[str, Meta(max_length=4096)] = ""
    log_tail: LogTail = ""


class Exited(Struct, tag_field="type", tag="exited", frozen=True):
    """The server ended after it had been ready."""

    session: Id | None = None
    code: int = 0
    log_tail: LogTail = ""


class Reply(Struct, tag_field="type", tag="reply", frozen=True):
    """The answer to a message that carried an id."""

    id: int
    ok: bool
    error: Short | None = None


Message = Hello | PhaseSaid | Ready | Failed | Exited | Reply
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class Garbage(Struct, frozen=True):
    """A line that is no message; what was wrong with it, none of its content."""

    reason: str


class LineReader:
    """Cuts a byte stream into messages.

    A line longer than `limit` is dropped up to its end and reported once: a guest that never ends its line
    costs no memory.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._looked_at = 0
        """Bytes of the rest that hold no end of a line: a line in many small pieces costs no more."""
        self._dropping = False

    def feed(self, data: bytes) -> list[Message | Garbage]:
        """Return the messages that are complete now."""
        found: list[Message | Garbage] = []
        self._rest += data
        while (end := self._rest.find(b"\n", self._looked_at)) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            self._looked_at = 0
            if self._dropping:
                self._dropping = False
            elif len(line) > self._limit:
                found.append(Garbage(f"a line of more than {self._limit} bytes"))
            elif line.strip():
                found.append(decode(line))
        if len(self._rest) > self._limit:
            if not self._dropping:
                found.append(Garbage(f"a line of more than {self._limit} bytes"))
            self._dropping = True
            self._rest.clear()
        self._looked_at = len(self._rest)
        return found


def decode(line: bytes) -> Message | Garbage:
    """Return the message in a line."""
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Garbage(str(error))


def encode(kind: Literal["welcome", "query", "session", "stop", "clock"], **fields: Any) -> bytes:
    """Return a message of the controller's as a line."""
    return msgspec.json.encode({"type": kind, **fields}) + b"\n"


def fits(session: Session) -> bool:
    """Return whether a session can be told to an agent in one line."""
    return len(msgspec.json.encode(session)) + ENVELOPE <= MAX_LINE
