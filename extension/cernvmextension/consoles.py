"""Consoles of machines, forwarded: what a page says to the controller's WebSocket, and what that answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from cernvmapi.consoles import PROTOCOL, TICKET_PREFIX
from cernvmapi.errors import Forbidden, Malformed
from cernvmextension.controller import api_path
from cernvmextension.handlers import OwnersOnly

if TYPE_CHECKING:
    from tornado.websocket import WebSocketClientConnection

GONE = 1006
"""What RFC 6455 calls an end without a word; it must not be sent."""
_BROKE = 1001
"""The way to the controller broke, which may have been restarted: whoever hears this connects again."""


class ConsoleHandler(WebSocketMixin, WebSocketHandler, OwnersOnly):
    """One viewing of one console; the ticket in the subprotocols says which, and the controller whether."""

    _there: WebSocketClientConnection | None = None
    _showing: asyncio.Task[None] | None = None

    async def prepare(self, **kwargs: Any) -> None:
        """Refuse visitors."""
        await super().prepare(**kwargs)
        self.refuse_visitors()

    @ws_authenticated
    @authorized(action="write", resource="cernvm:api")  # type: ignore[untyped-decorator]
    async def get(self, path: str) -> None:  # type: ignore[override]
        """Open it: at the controller first, so that a refusal is an answer and not a socket that closes."""
        if not self.check_origin():  # before the controller is asked, and a ticket used up
            raise Forbidden("A page of another site asked for this in your name; it was not done.")
        if self.request.query:
            raise Malformed("A console takes nothing in its URL.")
        offered = [each.strip() for each in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        passed = [each for each in offered if each == PROTOCOL or each.startswith(TICKET_PREFIX)]
        self._there = await self.door.controller.socket(api_path(path), passed)
        await super().get(path)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Choose the protocol; the ticket is not sent back."""
        return PROTOCOL if PROTOCOL in subprotocols else None

    async def open(self, *_args: str, **_kwargs: str) -> None:
        """Begin to show."""
        self._showing = asyncio.create_task(self._show(), name="console")

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what the viewer says; the next message is read when that is done."""
        if self._there is not None:
            with suppress(WebSocketClosedError):  # of its end the other direction tells
                await self._there.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        """Show no more."""
        super().on_close()
        if self._showing is not None:
            self._showing.cancel()

    async def _show(self) -> None:
        assert self._there is not None
        try:
            while (message := await self._there.read_message()) is not None:
                await self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            pass
        finally:
            self._there.close()
            code, reason = self._there.close_code, self._there.close_reason
            self.close(_BROKE if code in {None, GONE} else code, reason or "")
