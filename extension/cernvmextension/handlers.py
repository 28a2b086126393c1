"""The routes of the door, and what they have in common."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from http.client import responses
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

import cernvmviews
from cernvmapi.errors import (
    Busy,
    CernVMError,
    ControllerUnreachable,
    Forbidden,
    Malformed,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthenticated,
)
from cernvmapi.models import encode
from cernvmextension.controller import api_path, passed_on

if TYPE_CHECKING:
    from types import TracebackType

    from cernvmextension.app import CernVMExtension

LARGEST_BODY = 1024 * 1024
"""Bytes of a request; the controller takes no more either."""

LONGEST = 8 * 1024
"""Bytes of a query parameter at most: the ids of all machines of a page."""

MOST_PARAMETERS = 16

MOST_STREAMS = 16
"""Pages of one server that follow the events at a time."""

_SHOWN = frozenset({"location", "retry-after", "x-request-id"})
"""Headers of the controller's answer that the page may see."""

_OF_THE_SERVER = frozenset({"token", "no_track_activity", "_xsrf", "_"})
"""Query parameters that Jupyter Server or a page's cache handling add; they are not the controller's."""

_BY_STATUS = {cls.status: cls for cls in (Malformed, Unauthenticated, Forbidden, NotFound, MethodNotAllowed)}


class OwnersOnly(JupyterHandler):
    """What opens to the server's owner only, and says no in problem details (RFC 9457)."""

    # A page that watches its machines must not keep an idle server alive.
    _track_activity = False

    def initialize(self, door: CernVMExtension) -> None:
        """Remember the extension, which has the client and knows the owner."""
        self.door = door

    def refuse_visitors(self) -> None:
        """Refuse visitors: this door acts with the rights of the server's owner, not with theirs."""
        visitor = self.current_user
        if visitor is not None and self.door.owner and not _is_user(visitor, self.door.owner):
            raise Forbidden(
                "Only the owner of this server may use its connection to the controller. "
                "Ask with a server of your own.",
            )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the reason as problem details."""
        failure = kwargs.get("exc_info", (None, None, None))[1]
        if not isinstance(failure, CernVMError):
            failure = _as_error(status_code, failure)
            self.set_status(status_code)
        else:
            self.set_status(failure.status)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/problem+json")
        RequestHandler.finish(self, encode(failure.problem()))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log an error of the API in a line: it is an answer, not a fault of this program."""
        if isinstance(value, CernVMError):
            self.log.warning("%s %s: %s", self.request.method, self.request.path, value.detail)
        else:
            super().log_exception(typ, value, tb)


class DoorHandler(OwnersOnly, APIHandler):
    """A handler of the door's HTTP side."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse visitors."""
        await super().prepare()
        self.refuse_visitors()

    def query(self) -> dict[str, str]:
        """Return the request's parameters; which there are is the controller's business.

        Raises
        ------
        Malformed
            When one is given twice or is too long, or there are too many.
        """
        found: dict[str, str] = {}
        given = {k: v for k, v in self.request.query_arguments.items() if k not in _OF_THE_SERVER}
        if len(given) > MOST_PARAMETERS:
            raise Malformed(f"Give at most {MOST_PARAMETERS} parameters.")
        for name, values in given.items():
            if len(values) > 1 or len(values[0]) > LONGEST:
                raise Malformed(f"Give {name[:40]!r} once, with at most {LONGEST} bytes.")
            found[name] = self.decode_argument(values[0], name)
        return found


def _is_user(visitor: Any, name: str) -> bool:
    """Say whether a visitor is the hub's user of this name; a hub's service may be called the same."""
    kind = getattr(visitor, "hub_user", {}).get("kind", "user")
    return bool(visitor.username == name and kind == "user")


def _as_error(status: int, failure: BaseException | None) -> CernVMError:
    cls = _BY_STATUS.get(status, CernVMError)
    said = failure.log_message if isinstance(failure, web.HTTPError) and cls is not CernVMError else None
    return cls(said or f"{responses.get(status, 'Error')}. The server's log says more.")


class ApiHandler(DoorHandler):
    """The API, forwarded: the controller decides, with the rights of the server's owner."""

    async def _forward(self, path: str) -> None:
        length = len(self.request.body)
        if length > LARGEST_BODY:
            raise TooLarge(f"A request's body may have {LARGEST_BODY // 1024} KiB at most.")
        answer = await self.door.controller.ask(
            str(self.request.method),
            api_path(path),
            self.query(),
            self.request.body if length else None,
            passed_on(self.request.headers, "Content-Type"),
        )
        self.set_status(answer.status_code)
        self.set_header("Cache-Control", "no-store")
        for name in _SHOWN & answer.headers.keys():
            self.set_header(name, answer.headers[name])
        media_type = answer.headers.get("Content-Type", "application/json")
        self.finish(answer.content or None, set_content_type=media_type)

    @web.authenticated
    @authorized(action="read", resource="cernvm:api")  # type: ignore[untyped-decorator]
    async def get(self, path: str) -> None:
        """Read something."""
        await self._forward(path)

    @web.authenticated
    @authorized(action="write", resource="cernvm:api")  # type: ignore[untyped-decorator]
    async def post(self, path: str) -> None:
        """Begin something."""
        await self._forward(path)

    @web.authenticated
    @authorized(action="write", resource="cernvm:api")  # type: ignore[untyped-decorator]
    async def put(self, path: str) -> None:
        """Put something in a place."""
        await self._forward(path)

    @web.authenticated
    @authorized(action="write", resource="cernvm:api")  # type: ignore[untyped-decorator]
    async def patch(self, path: str) -> None:
        """Change something."""
        await self._forward(path)

    @web.authenticated
    @authorized(action="write", resource="cernvm:api")  # type: ignore[untyped-decorator]
    async def delete(self, path: str) -> None:
        """Delete something, or cancel it."""
        await self._forward(path)


class EventsHandler(DoorHandler):
    """The stream of events, chunk by chunk as the controller sends it."""

    _following: asyncio.Task[None] | None = None

    @web.authenticated
    @authorized(action="read", resource="cernvm:events")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Follow what happens, until the listener goes or the controller does."""
        if self.door.streams >= MOST_STREAMS:
            raise Busy(f"{MOST_STREAMS} pages follow the events already. Close some of them.")
        self.door.streams += 1
        self._following = asyncio.current_task()
        try:
            await self._follow()
        except (asyncio.CancelledError, StreamClosedError):
            if not self.request.connection.stream.closed():  # type: ignore[union-attr]
                raise
        finally:
            self._following = None
            self.door.streams -= 1

    async def _follow(self) -> None:
        headers = passed_on(self.request.headers, "Last-Event-ID") | {"Accept": "text/event-stream"}
        async with aclosing(self.door.controller.events(self.query(), headers)) as chunks:
            await anext(chunks)  # a refusal is an answer of its own; after this it can only break off
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-store, no-transform")
            self.set_header("X-Accel-Buffering", "no")
            await self.flush()
            with suppress(ControllerUnreachable):  # the listener sees the end and comes again
                async for chunk in chunks:
                    self.write(chunk)
                    await self.flush()

    def on_connection_close(self) -> None:
        """Stop asking for what nobody hears."""
        super().on_connection_close()
        if self._following is not None:
            self._following.cancel()


class ViewHandler(DoorHandler):
    """The files of the interface, the same for every notebook of this server."""

    @web.authenticated
    @authorized(action="read", resource="cernvm:views")  # type: ignore[untyped-decorator]
    async def get(self, name: str) -> None:
        """Answer with one file; a browser that has it already is told so."""
        try:
            view = cernvmviews.read(name)
        except (cernvmviews.NotBuilt, FileNotFoundError) as error:
            raise NotFound(f"There is no view {name} here. {error}") from error
        self.set_header("Cache-Control", "no-cache")  # asked for again each time, sent when it changed
        self.finish(view.content, set_content_type=view.media_type)


class HealthHandler(DoorHandler):
    """Whether the controller works, as seen from this server."""

    @web.authenticated
    @authorized(action="read", resource="cernvm:health")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Answer with the controller's own health, or with why it cannot be had."""
        self.query()
        answer = await self.door.controller.ask("GET", "/health", {}, None, {})
        self.set_header("Cache-Control", "no-store")
        self.set_status(answer.status_code)
        self.finish(answer.content, set_content_type=answer.headers.get("Content-Type", "application/json"))
