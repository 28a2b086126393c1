"""The few pages for browsers: the interface, which logs in, and where JupyterHub sends people back to."""

from __future__ import annotations

import secrets
from html import escape
from urllib.parse import quote

from jupyterhub.services.auth import HubOAuthCallbackHandler
from tornado.web import HTTPError

import cernvmviews
from cernvmapi.errors import Forbidden, NotFound
from cernvmapi.models import API_PREFIX
from cernvmcontroller.web import auth
from cernvmcontroller.web.base import BaseHandler
from cernvmcontroller.web.identity import Access

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>CernVM Hub</title>
<link rel="stylesheet" nonce="{nonce}" href="{views}/views.css">
<script type="module" src="{views}/page.js"></script></head>
<body class="cernvm-page"><header><h1>CernVM Hub</h1>
<span>{name} · <a href="{hub}home">Notebook servers</a></span></header>
<main data-cernvm-api="{api}/"><p>{unbuilt}</p>
<ul><li><a href="{api}/machines">Your machines</a> (JSON)</li>
<li><a href="{api}/openapi.json">The API's description</a> (OpenAPI)</li>
<li><a href="{api}/health">Health</a></li></ul></main></body></html>
"""

_PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind} 'self'" for kind in ("script-src", "connect-src")),
        "style-src 'self' 'nonce-{nonce}'",
        "img-src 'self' data:",
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
    ]
)
"""What the page may load: files of its own origin, and nothing that stands in the page itself.

A terminal makes its own styles, which carry the nonce; what a machine's screen shows comes as images in data.
"""

_SCRIPTS_OFF = "The interface needs JavaScript. What it shows is there as data too:"


class EntranceHandler(BaseHandler):
    """A visit by browser: it leads through JupyterHub's log-in and sets the cookie that the API takes."""

    async def get(self) -> None:
        """Show the interface, or log in first."""
        self.identity = await auth.identify(self.services.authenticators, self, fresh=False)
        if self.identity is None:
            self.redirect(self.get_login_url())
            return
        if not Access.READ.allows(self.identity):
            raise Forbidden(
                f"{self.identity.name} may not use the controller. Ask the hub's administrator for the scope "
                f"{Access.READ.scope}."
            )
        self.xsrf_token  # noqa: B018 - to read it sets the cookie that scripts send back
        self.set_header("Content-Type", "text/html; charset=utf-8")
        nonce = secrets.token_urlsafe(16)
        self.set_header("Content-Security-Policy", _PAGE_POLICY.format(nonce=nonce))
        page = _PAGE.format(
            name=escape(self.identity.name),
            nonce=nonce,
            views=quote(f"{self.hub_auth.base_url.rstrip('/')}/views"),
            api=quote(API_PREFIX),
            hub=escape(f"{self.hub_auth.hub_host}{self.hub_auth.hub_prefix}"),
            unbuilt=_SCRIPTS_OFF if cernvmviews.built() else cernvmviews.NotBuilt(),
        )
        await self.finish(page)


class ViewHandler(BaseHandler):
    """The files of the interface: code that anybody may read, and no data."""

    def get(self, name: str) -> None:
        """Answer with one file; a browser that has it already is told so."""
        try:
            view = cernvmviews.read(name)
        except (cernvmviews.NotBuilt, FileNotFoundError) as error:
            raise NotFound(f"There is no view {name} here. {error}") from error
        self.set_header("Content-Type", view.media_type)
        self.set_header("Cache-Control", "no-cache")  # asked for again each time, sent when it changed
        self.finish(view.content)


class CallbackHandler(BaseHandler, HubOAuthCallbackHandler):  # type: ignore[misc]
    """Where JupyterHub sends people back to after they logged in."""

    async def get(self) -> None:
        """Exchange the code for a token and go on to where they wanted to go."""
        self.identity = await auth.identify(self.services.authenticators, self, fresh=False)
        try:
            await HubOAuthCallbackHandler.get(self)
        except HTTPError as error:
            if error.status_code == 403:  # noqa: PLR2004
                raise Forbidden("The log-in was begun in another window or is too old. Try again.") from error
            raise
