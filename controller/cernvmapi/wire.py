"""Requests and answers as values: what the sync and the async client have in common.

Nothing here sends anything.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from cernvmapi.errors import (
    CernVMError,
    ControllerUnreachable,
    Forbidden,
    Unauthenticated,
    error_from,
)
from cernvmapi.models import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

T = TypeVar("T")

ENV_URL = "CERNVM_API_URL"
ENV_TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the variable's name
ENV_CA = "CERNVM_API_CA"

HEARTBEAT = 15.0
"""Seconds after which the controller says something on an event stream, be it a comment."""

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
STREAM_TIMEOUT = httpx.Timeout(3 * HEARTBEAT, connect=10.0)

SOCKET_TIMEOUT = 20.0
"""Seconds until a WebSocket is open."""

_BY_STATUS: dict[int, type[CernVMError]] = {401: Unauthenticated, 403: Forbidden}
"""What an answer means that is not the controller's own; a 404 then means that it is not there."""
_GATEWAY = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request of the API, and what its answer is decoded to."""

    method: str
    path: str
    result: Any
    """The type of the answer; None where there is no body."""
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    also: tuple[int, ...] = ()
    """Statuses beside the good ones with which the answer comes too."""

    def content(self) -> bytes | None:
        """Return the request's body."""
        return None if self.body is None else msgspec.json.encode(self.body)

    def read(self, response: httpx.Response) -> T:
        """Return what the answer says, or raise the error that it describes."""
        if not response.is_success and response.status_code not in self.also:
            raise failure(response)
        if self.result is None:
            return cast("T", None)
        if self.result is str:
            return cast("T", response.text)
        if self.result is bytes:
            return cast("T", response.content)
        try:
            return cast("T", msgspec.json.decode(response.content, type=self.result))
        except msgspec.DecodeError as error:
            if not response.is_success:
                raise failure(response) from None
            raise ControllerUnreachable(
                f"What answers at {response.url.host} does not speak this version of the API ({error})."
            ) from error


def params(**values: Any) -> dict[str, str]:
    """Return query parameters as text: None is left out, a collection is joined with commas."""
    return {name: text for name, value in values.items() if (text := _text(value)) is not None}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()  # without a zone it is this machine's local time
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value)) or None
    return str(value)


def failure(response: httpx.Response) -> CernVMError:
    """Return the error that an answer describes; its body must have been read."""
    try:
        return error_from(msgspec.json.decode(response.content, type=Problem))
    except msgspec.DecodeError:
        pass
    if response.status_code in _GATEWAY:
        return ControllerUnreachable(
            f"The proxy at {response.url.host} has no controller behind it (status {response.status_code}); "
            "it may be starting. Try again in a moment."
        )
    cls = _BY_STATUS.get(response.status_code, ControllerUnreachable)
    return cls(
        f"{response.url.host} answered with status {response.status_code} and nothing that explains it."
    )


def unreachable(base: httpx.URL, error: httpx.HTTPError) -> ControllerUnreachable:
    """Return the error for a request that got no answer."""
    where = f"{base.host}:{base.port}" if base.port else base.host
    why = str(error) or type(error).__name__
    return ControllerUnreachable(
        f"The controller at {where} does not answer ({why}). Try again in a moment; if it lasts, ask the "
        "administrator whether it runs."
    )


def event_headers(after: int | None) -> dict[str, str]:
    """Return the headers of a request for events after the event with id `after`."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    return headers


def event_params(types: Collection[str] | None) -> dict[str, str]:
    """Return the query parameters of a request for events of these types."""
    return params(types=None if types is None else sorted(types))


@cache
def user_agent() -> str:
    """Return how this client names itself."""
    try:
        return f"cernvmapi/{version('cernvmhub')}"
    except PackageNotFoundError:
        return "cernvmapi"


@dataclass(frozen=True)
class Settings:
    """Where the controller is and who asks.

    Parameters
    ----------
    url
        Base of the API, the prefix and version included (``https://hub.example.org/services/cernvm/api/v1``).
        Default: the environment's ``CERNVM_API_URL``.
    token
        A JupyterHub API token. Default: ``JUPYTERHUB_API_TOKEN``.
    ca
        File with the certificate authority of the controller, or a context with more than that. Default:
        ``CERNVM_API_CA``, else the system's authorities.
    """

    url: str
    token: str = field(repr=False)
    ca: str | Path | ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str | None, token: str | None, ca: str | Path | ssl.SSLContext | None) -> Settings:
        """Return settings with the environment's defaults for what is None."""
        url = url or os.environ.get(ENV_URL, "")
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ControllerUnreachable(
                f"Where is the controller? Give its URL, or set {ENV_URL} (http or https, up to /api/v1)."
            )
        if urlsplit(url).username or urlsplit(url).password:
            raise ControllerUnreachable("The controller's URL carries credentials; give the token beside it.")
        token = os.environ.get(ENV_TOKEN, "") if token is None else token
        return cls(url.rstrip("/"), token, ca or os.environ.get(ENV_CA) or None)

    def httpx_options(self) -> dict[str, Any]:
        """Return the arguments of an httpx client.

        Proxies and credentials of the environment are not for the controller: it is inside.
        """
        headers = {"User-Agent": user_agent(), "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return {
            "base_url": self.url,
            "headers": headers,
            "verify": self.context(),
            "timeout": TIMEOUT,
            "trust_env": False,
        }

    def websocket_url(self, path: str) -> str:
        """Return the URL of a WebSocket at a path below the API's version."""
        base = urlsplit(self.url)
        scheme = "wss" if base.scheme == "https" else "ws"
        return urlunsplit((scheme, base.netloc, base.path + path, "", ""))

    def context(self) -> ssl.SSLContext:
        """Return by whom the controller's certificate must be signed."""
        if isinstance(self.ca, ssl.SSLContext):
            return self.ca
        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise ControllerUnreachable(
                f"The controller's certificate authority cannot be read from {self.ca}: {error}."
            ) from error
