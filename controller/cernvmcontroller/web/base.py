"""What every handler does: a request id, where it came from, errors in one shape, one line of log."""

from __future__ import annotations

import contextlib
import re
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from jupyterhub.services.auth import HubOAuthenticated
from tornado.web import HTTPError, RequestHandler

from cernvmapi.errors import (
    CernVMError,
    HubUnreachable,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
)
from cernvmapi.models import encode
from cernvmcontroller.web import auth
from cernvmcontroller.web.logs import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jupyterhub.services.auth import HubOAuth

    from cernvmcontroller.web.identity import Access, Identity
    from cernvmcontroller.web.services import Services

log = logger(__name__)

PROBLEM = "application/problem+json"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OWN_FAULT = 500
_AWAY = 503
_TRY_AGAIN = "5"
"""Seconds after which what is away may be back."""


class BaseHandler(HubOAuthenticated, RequestHandler):  # type: ignore[misc]
    """Base of all handlers.

    `HubOAuthenticated` brings JupyterHub's XSRF token and log-in address; its way to find the user blocks the
    event loop and is not used.
    """

    services: Services
    proxied: bool
    identity: Identity | None = None
    route_name = ""
    allow = ""
    """The verbs of this path."""

    def initialize(self, services: Services, *, proxied: bool) -> None:
        """Take what the application hands to every handler."""
        self.services = services
        self.proxied = proxied
        given = self.request.headers.get("X-Request-ID", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        self.started = time.monotonic()
        services.open_requests.add(self)
        if proxied:
            self.request.remote_ip = self._behind_the_proxy()
        self.set_default_headers()  # again: the request's id was not known the first time

    @property
    def hub_auth(self) -> HubOAuth:
        """JupyterHub's client."""
        return self.services.hub

    def get_current_user(self) -> Identity | None:
        """Return who was identified in `prepare`; JupyterHub's mixin would ask and block."""
        return self.identity

    def prepare(self) -> Awaitable[None] | None:
        """Name the request in every line of log that it causes."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        return None

    async def identified(self, *, fresh: bool) -> Identity:
        """Find out who asks, and name them in the log.

        Raises
        ------
        Unauthenticated
            Nobody knows.
        """
        identity = await auth.identify(self.services.authenticators, self, fresh=fresh)
        if identity is None:
            raise Unauthenticated(
                "It is not known who you are. Send a JupyterHub token in the header Authorization: Bearer …; "
                "one that worked before has expired or was revoked."
            )
        structlog.contextvars.bind_contextvars(user=identity.label)
        self.identity = identity
        return identity

    async def still_may(self, access: Access) -> bool:
        """Ask again whether who asks is who they were, and may; for answers that take long."""
        with contextlib.suppress(AttributeError):  # where it was not the hub who knew
            del self._cached_hub_user
        try:
            now = await auth.identify(self.services.authenticators, self, fresh=True)
        except CernVMError as error:
            # A hub that is being restarted takes nobody's rights away.
            return error.status >= _OWN_FAULT
        then = self.identity
        # Who is an administrator no longer was shown everybody's things until now.
        return (
            now is not None
            and then is not None
            and (now.name, now.kind, now.admin) == (then.name, then.kind, then.admin)
            and access.allows(now)
        )

    def set_default_headers(self) -> None:
        """Say the request's id; allow a browser nothing."""
        self.clear_header("Server")
        if hasattr(self, "request_id"):
            self.set_header("X-Request-ID", self.request_id)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "same-origin")

    def _behind_the_proxy(self) -> str:
        """Return the address that the proxy added; what stands before it is the client's own tale."""
        last = self.request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            return str(ip_address(last))
        except ValueError:
            return str(self.request.remote_ip)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the problem details of what went wrong."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = as_problem(error, status_code)
        if isinstance(problem, Unauthenticated):
            self.set_header("WWW-Authenticate", 'Bearer realm="CernVM Hub"')
        if problem.status == 405 and self.allow:  # noqa: PLR2004
            self.set_header("Allow", self.allow)
        if problem.status == _AWAY:
            self.set_header("Retry-After", _TRY_AGAIN)
        if problem.status in {401, 403}:
            self.services.metrics.refused.labels(problem.code).inc()
        self.set_status(problem.status)
        self.set_header("Content-Type", PROBLEM)
        self.finish(encode(problem.problem(self.request_id)))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log what is the controller's own fault with its traceback, the rest with the request's line."""
        if isinstance(value, CernVMError) and value.status != _OWN_FAULT:
            return
        if isinstance(value, HTTPError) and value.status_code < _OWN_FAULT:
            return
        log.error("request failed", path=self.request.path, exc_info=(typ, value, tb))

    def on_connection_close(self) -> None:
        """Wait no longer for what nobody hears."""
        super().on_connection_close()
        self.services.open_requests.discard(self)

    def on_finish(self) -> None:
        """Write the request's line and count it."""
        self.services.open_requests.discard(self)
        seconds = time.monotonic() - self.started
        status = self.get_status()
        write = log.warning if status >= _OWN_FAULT else log.info
        write(
            "request",
            request_id=self.request_id,
            user=self.identity.label if self.identity else None,
            address=self.request.remote_ip,
            method=self.request.method,
            path=self.request.path,
            status=status,
            ms=round(seconds * 1000, 1),
        )
        if self.route_name:
            self.services.metrics.requests.labels(self.request.method, self.route_name, str(status)).observe(
                seconds
            )


def as_problem(error: BaseException | None, status: int = 500) -> CernVMError:
    """Return the error of the API that `error` is; what was not foreseen says nothing of the inside."""
    if isinstance(error, CernVMError):
        return error
    if isinstance(error, HTTPError):
        status = error.status_code
    by_status = {404: NotFound, 405: MethodNotAllowed, 502: HubUnreachable}
    if status in by_status:
        return by_status[status]("There is nothing here that does this; openapi.json lists what there is.")
    if status // 100 == 4:  # noqa: PLR2004
        return Malformed("The request could not be read.")
    return CernVMError(
        "The controller made a mistake. Tell the administrator this request's id: the log has the rest."
    )


class NotFoundHandler(BaseHandler):
    """Every path that is not one of ours."""

    def prepare(self) -> None:
        """Say so for every verb."""
        super().prepare()
        raise NotFound(f"There is nothing at {self.request.path}; openapi.json lists what there is.")

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here."""
