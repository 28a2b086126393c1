"""The few pages for browsers: an entrance that logs in, and where JupyterHub sends people back to."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from jupyterhub.services.auth import HubOAuthCallbackHandler
from tornado.web import HTTPError

from cernvmapi.errors import Forbidden
from cernvmapi.models import API_PREFIX
from cernvmcontroller.web import auth
from cernvmcontroller.web.base import BaseHandler
from cernvmcontroller.web.identity import Access

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>CernVM Hub controller</title></head>
<body><main><h1>CernVM Hub controller</h1>
<p>Logged in as <strong>{name}</strong>.</p>
<ul><li><a href="{api}/machines">Your machines</a> (JSON)</li>
<li><a href="{api}/openapi.json">The API's description</a> (OpenAPI)</li>
<li><a href="{api}/health">Health</a></li></ul></main></body></html>
"""


class EntranceHandler(BaseHandler):
    """A visit by browser: it leads through JupyterHub's log-in and sets the cookie that the API takes."""

    async def get(self) -> None:
        """Show where things are, or log in first."""
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
        await self.finish(_PAGE.format(name=escape(self.identity.name), api=quote(API_PREFIX)))


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
