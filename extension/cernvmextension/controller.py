"""The door's way to the controller: requests forwarded as they are, with the owner's token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketError, websocket_connect

from cernvmapi import wire
from cernvmapi.errors import ControllerUnreachable, NotFound, TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tornado.websocket import WebSocketClientConnection

COLLECTIONS = (
    "appliances",
    "audit",
    "catalogue",
    "clusters",
    "feeds",
    "flavors",
    "health",
    "hosts",
    "machines",
    "networks",
    "operations",
    "pools",
    "usage",
    "volumes",
)
"""What the views ask about; nothing else of the API is forwarded. The controller decides who may what."""

LARGEST_ANSWER = 16 * 1024 * 1024

_PATH = re.compile(rf"(?:{'|'.join(COLLECTIONS)})(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{{0,99}}){{0,3}}")
_SESSION = re.compile(r"machines/[^/]+/session")


def api_path(path: str) -> str:
    """Return `path` below the API's version as the controller has it.

    Raises
    ------
    NotFound
        For what the views have no business with.
    """
    if not _PATH.fullmatch(path) or _SESSION.fullmatch(path):
        raise NotFound("This server forwards nothing to that path of the API.")
    return f"/{path}"


class Controller:
    """The controller, asked with one token.

    Parameters
    ----------
    url, token, ca
        As `cernvmapi.wire.Settings`.
    """

    def __init__(self, url: str, token: str | None, ca: str | None) -> None:
        self._settings = wire.Settings.of(url, token, ca)
        self._http = httpx.AsyncClient(**self._settings.httpx_options())

    async def ask(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        """Return the answer to a request, whatever it says.

        Raises
        ------
        ControllerUnreachable
            When there is none.
        TooLarge
            When it is larger than `LARGEST_ANSWER`.
        """
        request = self._http.build_request(method, path, params=query, content=body, headers=headers)
        try:
            response = await self._http.send(request, stream=True)
            try:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > LARGEST_ANSWER:
                        raise TooLarge("The answer is too large for a page. Ask for fewer things at once.")
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise wire.unreachable(self._http.base_url, error) from error
        return httpx.Response(response.status_code, headers=response.headers, content=bytes(content))

    async def events(self, query: Mapping[str, str], headers: Mapping[str, str]) -> AsyncGenerator[bytes]:
        """Yield the stream of events as it comes.

        Raises
        ------
        CernVMError
            When the controller refuses it.
        ControllerUnreachable
            When it does not answer, or no more.
        """
        try:
            async with self._http.stream(
                "GET", "/events", params=query, headers=headers, timeout=wire.STREAM_TIMEOUT
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise wire.failure(response)
                yield b""
                async for chunk in response.aiter_bytes():
                    yield chunk
        except httpx.HTTPError as error:
            raise wire.unreachable(self._http.base_url, error) from error

    async def socket(self, path: str, protocols: list[str]) -> WebSocketClientConnection:
        """Return a WebSocket that is open.

        Raises
        ------
        CernVMError
            When the controller refuses it.
        ControllerUnreachable
            When it does not answer.
        """
        settings = self._settings
        request = HTTPRequest(
            settings.websocket_url(path),
            headers={"Authorization": f"Bearer {settings.token}", "User-Agent": wire.user_agent()},
            connect_timeout=wire.SOCKET_TIMEOUT,
            ssl_options=settings.context() if settings.url.startswith("https:") else None,
        )
        try:
            return await websocket_connect(request, subprotocols=protocols)
        except HTTPClientError as error:
            answer = error.response
            content = answer.body if answer is not None else b""
            asked = httpx.Request("GET", settings.url)
            raise wire.failure(httpx.Response(error.code, content=content, request=asked)) from error
        except (OSError, WebSocketError) as error:
            raise wire.unreachable(self._http.base_url, httpx.ConnectError(str(error))) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def unknown() -> ControllerUnreachable:
    """Return the error of a server that was not told where its controller is."""
    return ControllerUnreachable(
        "This server does not know a controller. Set CERNVM_API_URL, or "
        "CernVMExtension.controller_url in its configuration.",
    )


def passed_on(headers: Any, *names: str) -> dict[str, str]:
    """Return those of a request's headers that the controller is to see."""
    return {name: headers[name] for name in names if name in headers}
