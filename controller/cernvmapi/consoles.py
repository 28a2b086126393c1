"""What goes over the wire about a machine's consoles, apart from the bytes themselves.

A console is asked for with a `ConsoleRequest`; the answer has a ticket, with which one WebSocket can be
opened. A browser cannot give a WebSocket a header, and what is in a URL ends in logs: so the ticket goes as a
second subprotocol beside `PROTOCOL`, which the controller chooses.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from cernvmapi.models import Received, Sent

PROTOCOL = "cernvm.console.v1"
"""The subprotocol of a console's WebSocket."""

TICKET_PREFIX = "ticket."
"""Begins the subprotocol that carries the ticket."""


class ConsoleKind(StrEnum):
    """Which console."""

    SERIAL = "serial"
    """The serial port: text, and what the machine wrote before."""
    VNC = "vnc"
    """Screen, keyboard and pointer: the bytes are RFB's (RFC 6143)."""


class ConsolePosition(Received, frozen=True, kw_only=True):
    """How far a viewer has seen a serial console."""

    stream: Annotated[str, Meta(max_length=64)]
    """Which counting the offset belongs to; a restarted controller begins another one."""
    offset: Annotated[int, Meta(ge=0, le=2**53)]
    """Bytes since the beginning of the counting."""


class ConsoleRequest(Received, frozen=True, kw_only=True):
    """A console that somebody wants to open."""

    kind: ConsoleKind = ConsoleKind.SERIAL
    view_only: bool = False
    """Whether what the viewer sends is thrown away."""
    after: ConsolePosition | None = None
    """For a serial console: where an earlier viewing ended. Else all that is kept is shown first."""


class ConsoleTicket(Sent, frozen=True, kw_only=True):
    """The right to open one WebSocket, once and soon, for who asked for it."""

    ticket: str
    """A secret. Offer the subprotocols `protocol` and `ticket.` followed by this; never put it into a URL."""
    protocol: str = PROTOCOL
    """What the controller chooses of the two."""
    socket: str
    """Path of the WebSocket below the API's URL, whose `http` becomes `ws`, and `https` `wss`."""
    kind: ConsoleKind
    view_only: bool
    expires: datetime
    """When the ticket is worth nothing any more."""


class ConsoleGreeting(Sent, frozen=True, kw_only=True):
    """The first message on a serial console's WebSocket, the only one that is text."""

    stream: str
    offset: int
    """Of the first byte that follows; add what came to know where to go on: `ConsoleRequest.after`."""
    truncated: bool
    """Whether bytes between what the viewer has seen and this are lost."""


KeyCombination = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}(-[a-z0-9]{1,16}){0,4}$")]
"""Names of keys that are pressed together: ``ctrl-alt-delete``."""


class MachineKeys(Received, frozen=True, kw_only=True):
    """What is pressed on a machine's keyboard: first the text, then the keys."""

    text: Annotated[str, Meta(max_length=200)] = ""
    """Typed on a keyboard of the United States' layout: ASCII, line ends and tabs."""
    keys: Annotated[list[KeyCombination], Meta(max_length=32)] = field(default_factory=list)
    """Combinations like `ctrl-alt-delete`, one after the other; the documentation lists the names."""
