"""Finding out who asks: the spawner by the shared secret, all others by asking JupyterHub."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from cernvmapi.errors import Forbidden, HubUnreachable
from cernvmcontroller.web.identity import Identity, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyterhub.services.auth import HubOAuth

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_CACHED = 60
"""Seconds after which a revoked token is noticed at the latest."""

_BEARER = re.compile(r"(?:token|bearer)\s+(\S+)\s*", re.IGNORECASE)


class Authenticator(Protocol):
    """Identifies who makes a request."""

    async def identify(self, handler: RequestHandler, *, fresh: bool) -> Identity | None:
        """Return who makes the request; None if this authenticator does not know them.

        Parameters
        ----------
        fresh
            Whether an answer from before is not good enough.
        """


class SharedSecret:
    """Knows the hub by a secret in a file that both can read; asks nobody, for the hub may just be starting.

    Parameters
    ----------
    secret
        At least 32 characters.
    name
        Of the hub's own service.
    """

    def __init__(self, secret: str, name: str = "jupyterhub") -> None:
        if len(secret) < 32:  # noqa: PLR2004
            raise ValueError("The hub's token must have at least 32 characters.")
        self._secret = secret.encode()
        self._identity = Identity(name, Kind.HUB, frozenset())

    async def identify(self, handler: RequestHandler, *, fresh: bool) -> Identity | None:  # noqa: ARG002
        """Return the hub where its token is in the header."""
        match = _BEARER.fullmatch(handler.request.headers.get("Authorization", ""))
        if match and hmac.compare_digest(match[1].encode(), self._secret):
            return self._identity
        return None


class HubUsers:
    """Knows what JupyterHub knows: users and services, by token or, in a browser, by cookie.

    Parameters
    ----------
    hub
        JupyterHub's own client; its answers are kept for a minute at most.
    """

    def __init__(self, hub: HubOAuth) -> None:
        self.hub = hub
        hub.cache_max_age = min(hub.cache_max_age, LONGEST_CACHED)

    async def identify(self, handler: RequestHandler, *, fresh: bool) -> Identity | None:
        """Return whom JupyterHub names; a request that changes something never relies on an older answer."""
        if handler.request.headers.get("Sec-Fetch-Mode") == "websocket":
            # JupyterHub takes tokens from the URL for these, and cookies without a page's token. A console
            # asks for a ticket beside them, which only a page of the hub can get.
            if not isinstance(handler, WebSocketHandler):
                raise Forbidden("There is no WebSocket here.")
            if handler.request.query:
                raise Forbidden("A WebSocket takes nothing in its URL, least of all a token.")
        try:
            model = await self.hub.get_user(handler, sync=False)
            cookie = not getattr(handler, "_token_authenticated", False)
            if model and fresh:
                token = self.hub.get_token(handler, in_cookie=cookie)
                known, model = model, await self.hub.user_for_token(token, use_cache=False, sync=False)
                if model is None or model["scopes"] != known["scopes"]:
                    self.hub.cache.clear()  # revoked or narrowed: what was known is worth nothing any more
        except HTTPError as error:
            # Its words are for a log: they name the hub's internal address.
            raise HubUnreachable(
                "JupyterHub does not answer, so it is not known who you are. Try again in a moment."
            ) from error
        if model is None:
            if fresh and not self.hub.get_token(handler, in_cookie=False) and self._has_cookie(handler):
                raise Forbidden(
                    "The page that sent this did not prove to be the hub's own (XSRF token missing or old). "
                    "Load it again."
                )
            return None
        if cookie:
            refuse_foreign_pages(handler)
        return _identity(model, cookie=cookie)

    def _has_cookie(self, handler: RequestHandler) -> bool:
        return handler.get_signed_cookie(self.hub.cookie_name) is not None


def _identity(model: dict[str, Any], *, cookie: bool) -> Identity:
    kind = Kind.SERVICE if model.get("kind") == "service" else Kind.USER
    return Identity(str(model["name"]), kind, frozenset(model.get("scopes", ())), cookie=cookie)


def refuse_foreign_pages(handler: RequestHandler) -> None:
    """Raise `Forbidden` if a page of another origin makes the browser send this with the user's cookie.

    A link to here may be on any page. Whatever else a page of another origin has fetched is refused, reading
    included: it could not see the answer, but event streams and lists at will are load in the user's name.
    Browsers that do not say where a request comes from (``Sec-Fetch-*`` needs https or localhost) are judged
    by ``Origin``, and where that is missing too by ``Referer``.
    """
    request = handler.request
    headers = request.headers
    # Who follows a link asks without `Origin`.
    default = "cors" if "Origin" in headers else "navigate"
    if request.method in SAFE_METHODS and headers.get("Sec-Fetch-Mode", default) == "navigate":
        return
    came_from = headers.get("Origin", headers.get("Referer"))
    foreign = came_from is not None and urlsplit(came_from).netloc.lower() != request.host.lower()
    if foreign or headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("A page of another site sent this in your name; it was not done.")


async def identify(
    authenticators: Sequence[Authenticator], handler: RequestHandler, *, fresh: bool
) -> Identity | None:
    """Return who makes a request, from the first authenticator that knows."""
    for authenticator in authenticators:
        identity = await authenticator.identify(handler, fresh=fresh)
        if identity is not None:
            return identity
    return None
