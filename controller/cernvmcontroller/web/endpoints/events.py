"""The stream of events, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from cernvmapi.errors import Malformed
from cernvmapi.models import Event, encode
from cernvmcontroller.web.endpoints.machines import offered
from cernvmcontroller.web.route import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cernvmcontroller.web.metrics import Metrics
    from cernvmcontroller.web.route import Exchange

MEDIA_TYPE = "text/event-stream"
RETRY = 2000
"""Milliseconds after which a browser connects again."""
_HIGHEST = 2**63 - 1


def _after(exchange: Exchange) -> int | None:
    """Return where the listener is: what a browser says on reconnecting goes before what its URL says."""
    header = exchange.headers.get("Last-Event-ID", "").strip()
    if not header:
        after: int | None = exchange.query.after
        return after
    if not (header.isascii() and header.isdigit() and int(header[:20]) <= _HIGHEST and len(header) <= 19):  # noqa: PLR2004
        raise Malformed("Last-Event-ID is the id of an event: a whole number.")
    return int(header)


def as_text(event: Event) -> bytes:
    """Return an event in the format of server-sent events; JSON has no line ends of its own."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), encode(event))


async def follow_events(exchange: Exchange) -> Stream:
    """Answer with an endless stream."""
    after = _after(exchange)
    types = frozenset(exchange.query.types) or None
    # From a known event on, so that a listener who loses the connection before the first event loses nothing.
    position = exchange.engine.events.last_id() if after is None else after
    events = exchange.engine.events.subscribe(position, types, exchange.only_owner)
    greeting = f"retry: {RETRY}\nid: {position}\n\n".encode()
    return Stream(
        _chunks(events, greeting, exchange),
        {
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store, no-transform",
            "X-Accel-Buffering": "no",
        },
    )


def _hidden_from(exchange: Exchange, event: Event) -> bool:
    """Return whether the event tells of an appliance that the listener may not see in the list either."""
    told = event.type.startswith("appliance.") and event.data.get("hidden", False)
    return bool(told) and not exchange.who.admin


def _shown(exchange: Exchange, event: Event) -> Event:
    """Return the event as the listener would see what it is about: without actions that they may not take."""
    if "actions" not in event.data:
        return event
    # A copy: the event is the same one for all who listen.
    actions = offered(exchange.who, event.data["actions"])
    return msgspec.structs.replace(event, data={**event.data, "actions": actions})


async def _chunks(events: AsyncIterator[Event], greeting: bytes, exchange: Exchange) -> AsyncIterator[bytes]:
    services = exchange.services
    metrics: Metrics = services.metrics
    checked = time.monotonic()
    with metrics.subscribers.track_inprogress():
        yield greeting
        while True:
            try:
                # Not `wait_for`: Python 3.11's swallows a cancellation that comes together with an event.
                async with asyncio.timeout(services.heartbeat):
                    event = await anext(events)
            except TimeoutError:
                yield b": still here\n\n"
            except StopAsyncIteration:
                return
            else:
                if not _hidden_from(exchange, event):
                    metrics.events.inc()
                    yield as_text(_shown(exchange, event))
            if time.monotonic() - checked >= services.recheck:
                if not await exchange.recheck():
                    return
                checked = time.monotonic()
