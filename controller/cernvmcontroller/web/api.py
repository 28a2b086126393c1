"""The handler of all API routes: rights first, then parameters and body, then the endpoint."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from cernvmapi.errors import Forbidden, MethodNotAllowed, TooLarge
from cernvmapi.models import encode
from cernvmcontroller.store import Actor
from cernvmcontroller.web import auth, decoding
from cernvmcontroller.web.base import BaseHandler
from cernvmcontroller.web.identity import Access
from cernvmcontroller.web.queries import NoQuery
from cernvmcontroller.web.route import Exchange, Reply, Stream

if TYPE_CHECKING:
    from cernvmcontroller.web.route import Route
    from cernvmcontroller.web.services import Services

LARGEST_BODY = 1024 * 1024
LARGEST_IGNORED = 8 * 1024 * 1024
"""A body up to this size is read and thrown away, so that who sends it gets to read why it is refused."""


@stream_request_body
class ApiHandler(BaseHandler):
    """All verbs of one path.

    The body is taken as a stream: who may not make a request cannot make the controller keep what they send.
    """

    routes: dict[str, Route]

    def initialize(  # type: ignore[override]
        self, services: Services, *, proxied: bool, routes: dict[str, Route]
    ) -> None:
        """Take the routes of this path, by method."""
        super().initialize(services, proxied=proxied)
        self.routes = routes
        self.allow = ", ".join(sorted(routes))
        self._body = bytearray()
        self._size = 0
        self._refusal: Exception | None = None
        self._pump: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Decide whether the request may be made, before anything of it is looked at.

        A refusal is told when the body has been read: closing a connection on which somebody still sends
        makes them lose the answer.
        """
        super().prepare()
        try:
            await self._admit()
        except Exception as error:  # noqa: BLE001 - raised again below, or in the verb
            self._refusal = error
        length = self.request.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length) > LARGEST_BODY:
            self._refusal = self._refusal or _too_large()
            if int(length) > LARGEST_IGNORED:
                raise self._refusal

    async def _admit(self) -> None:
        method = str(self.request.method)
        route = self.routes.get(method)
        if route is None:
            raise MethodNotAllowed(f"{method} is not possible here, only {self.allow}.")
        self.route_name = route.name
        if route.access is Access.PUBLIC:
            return
        fresh = method not in auth.SAFE_METHODS
        who = await self.identified(fresh=fresh)
        if not route.access.allows(who):
            raise Forbidden(
                f"This takes the scope {route.access.scope}, which {who.name} does not have here. "
                "Ask the hub's administrator for it, or use a token that includes it."
            )
        if route.needs_machines:
            await self.services.engine.machines_known()

    async def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body, if it is going to be used."""
        self._size += len(chunk)
        if self._size > LARGEST_BODY:
            self._body.clear()
            self._refusal = self._refusal or _too_large()
        if self._refusal is None:
            self._body += chunk

    async def _serve(self, **path: str) -> None:
        if self._refusal is not None:
            raise self._refusal
        route = self.routes[str(self.request.method)]
        who = self.identity.label if self.identity else "anonymous"
        exchange = Exchange(
            engine=self.services.engine,
            identity=self.identity,
            actor=Actor(name=who, address=self.request.remote_ip, request_id=self.request_id),
            id=path.get("id", ""),
            query=decoding.query(self.request.query_arguments, route.query or NoQuery),
            body=self._decoded(route),
            headers=self.request.headers,
            recheck=partial(self.still_may, route.access),
            services=self.services,
        )
        answer = await route.endpoint(exchange)
        if isinstance(answer, Stream):
            self.route_name = ""  # how long somebody listened is no measure of anything
            await self._stream(answer)
        else:
            self._answer(route, answer if isinstance(answer, Reply) else Reply(answer))

    get = post = put = delete = head = options = patch = _serve

    def _decoded(self, route: Route) -> Any:
        if route.body is None:
            return None
        media_type = self.request.headers.get("Content-Type", "")
        return decoding.body(bytes(self._body), media_type, route.body, required=route.body_required)

    def _answer(self, route: Route, reply: Reply) -> None:
        self.set_status(reply.status or route.statuses[0])
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if route.result is None:
            self.finish()
            return
        media_type = route.result if isinstance(route.result, str) else "application/json"
        self.set_header("Content-Type", media_type)
        self.finish(reply.body if isinstance(reply.body, bytes) else encode(reply.body))

    async def _stream(self, stream: Stream) -> None:
        for name, value in stream.headers.items():
            self.set_header(name, value)
        pump = self._pump = asyncio.create_task(self._send(stream))
        self.services.streams.add(pump)
        try:
            await asyncio.wait([pump])
        finally:
            pump.cancel()
            self.services.streams.discard(pump)
            self._pump = None  # with it goes the subscription
        if not pump.cancelled() and (error := pump.exception()) is not None:
            raise error

    async def _send(self, stream: Stream) -> None:
        try:
            async for chunk in stream.chunks:
                self.write(chunk)
                await self.flush()
        except StreamClosedError:
            pass  # they went away

    def on_connection_close(self) -> None:
        """End a stream to which nobody listens."""
        super().on_connection_close()
        if self._pump is not None:
            self._pump.cancel()


def _too_large() -> TooLarge:
    return TooLarge(f"A request's body may have {LARGEST_BODY // 1024} KiB at most.")
