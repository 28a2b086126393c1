"""The tornado application: the table of routes made to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.web import Application

import cernvmviews
from cernvmapi.models import API_PREFIX
from cernvmcontroller.web.api import ApiHandler
from cernvmcontroller.web.base import NotFoundHandler
from cernvmcontroller.web.pages import CallbackHandler, EntranceHandler, ViewHandler
from cernvmcontroller.web.route import as_pattern
from cernvmcontroller.web.routes import ROUTES
from cernvmcontroller.web.socket import ConsoleSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.web.route import Route
    from cernvmcontroller.web.services import Services


CONSOLE_SOCKET = "/machines/{id}/console/socket"
"""The one path that is no route: OpenAPI has no words for a WebSocket."""


def _by_path(routes: Sequence[Route]) -> dict[str, dict[str, Route]]:
    paths: dict[str, dict[str, Route]] = {}
    # A word of the API goes before an id that is spelled like it.
    for route in sorted(routes, key=lambda route: "{id}" in route.path):
        paths.setdefault(route.pattern, {})[route.method] = route
    return paths


def make_application(services: Services, *, proxied: bool, prefix: str = API_PREFIX) -> Application:
    """Return the application.

    Parameters
    ----------
    proxied
        Whether the proxy stands before it: it says where requests come from, and people visit by browser.
    prefix
        Of the API's paths.
    """
    shared = {"services": services, "proxied": proxied}
    handlers: list[Any] = [
        (f"{prefix}{pattern}", ApiHandler, {**shared, "routes": by_method})
        for pattern, by_method in _by_path(ROUTES).items()
    ]
    handlers.append((prefix + as_pattern(CONSOLE_SOCKET), ConsoleSocket, shared))
    if proxied:
        base = services.hub.base_url.rstrip("/")
        handlers += [
            (f"{base}/?", EntranceHandler, shared),
            (f"{base}/oauth_callback", CallbackHandler, shared),
            (f"{base}/views/({cernvmviews.NAME})", ViewHandler, shared),
        ]
    return Application(
        handlers,
        default_handler_class=NotFoundHandler,
        default_handler_args=shared,
        cookie_secret=services.cookie_secret,
        log_function=lambda _handler: None,  # each handler writes its own line
    )
