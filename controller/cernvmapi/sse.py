"""Server-sent events: an incremental parser and the memory that a stream needs to be resumed.

The format is that of the WHATWG HTML standard, section 9.2, "Server-sent events".
"""

from __future__ import annotations

import codecs
import random
import re
from dataclasses import dataclass, field

_LINE_END = re.compile(r"\r\n|\n|\r")

FIRST_DELAY = 0.5
LONGEST_DELAY = 15.0
"""Seconds between attempts to reconnect: doubled from the first to the longest."""


@dataclass(frozen=True)
class Message:
    """One dispatched event."""

    id: str
    type: str
    data: str


@dataclass
class Parser:
    """Turns chunks of bytes, cut anywhere, into messages."""

    last_id: str = ""
    """The last id seen; it stays valid over messages that carry none."""
    retry: float | None = None
    """Seconds that the server asks to wait before reconnecting."""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"), repr=False
    )
    _buffer: str = field(default="", repr=False)
    _id: str = field(default="", repr=False)
    _type: str = field(default="", repr=False)
    _data: list[str] = field(default_factory=list, repr=False)
    _started: bool = field(default=False, repr=False)

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that `chunk` completes."""
        self._buffer += self._decoder.decode(chunk)
        if not self._started and self._buffer:
            self._buffer = self._buffer.removeprefix("\ufeff")
            self._started = True
        messages = []
        start = 0
        for end in _LINE_END.finditer(self._buffer):
            if end.group() == "\r" and end.end() == len(self._buffer):
                break  # the other half of a CR LF may be on its way
            message = self._line(self._buffer[start : end.start()])
            start = end.end()
            if message is not None:
                messages.append(message)
        self._buffer = self._buffer[start:]
        return messages

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000
        return None

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        data, kind = self._data, self._type
        self._data, self._type = [], ""
        return Message(self.last_id, kind or "message", "\n".join(data)) if data else None


@dataclass
class Position:
    """Where a stream of events is, and how long to wait before asking for it again.

    Parameters
    ----------
    after
        Id of the last event that was seen; None for only what happens from now on.
    """

    after: int | None = None
    _delay: float = FIRST_DELAY
    _parser: Parser = field(default_factory=Parser)

    def connected(self) -> None:
        """Begin a new connection: what was left of the old one is of no use."""
        self._delay = FIRST_DELAY
        self._parser = Parser(retry=self._parser.retry)

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that `chunk` completes; call `passed` for each that was handed on."""
        messages = self._parser.feed(chunk)
        if not messages:
            self.passed(self._parser.last_id)
        return messages

    def passed(self, event_id: str) -> None:
        """Note that the event with this id need not be sent again."""
        if event_id.isascii() and event_id.isdigit():
            self.after = int(event_id)

    def delay(self) -> float:
        """Return how many seconds to wait now; longer each time, never the same for all clients."""
        delay = max(self._delay, self._parser.retry or 0.0)
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311
