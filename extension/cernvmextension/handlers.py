"""The two routes of the door, and what they have in common."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cernvmapi.errors import CernVMError, Forbidden, Malformed, MethodNotAllowed, NotFound, Unauthenticated
from cernvmapi.models import encode

if TYPE_CHECKING:
    from types import TracebackType

    import msgspec

    from cernvmextension.app import CernVMExtension

LIMIT = 200
"""Machines that one answer holds at most."""

LONGEST = 255
"""Characters of a query parameter at most, which is what the longest name has."""

_OF_THE_SERVER = frozenset({"token", "no_track_activity", "_xsrf", "_"})
"""Query parameters that Jupyter Server or a page's cache handling add; they are not the controller's."""

_BY_STATUS = {cls.status: cls for cls in (Malformed, Unauthenticated, Forbidden, NotFound, MethodNotAllowed)}


class DoorHandler(APIHandler):
    """A handler that opens to the server's owner only and says no in problem details (RFC 9457)."""

    # A page that watches its machines must not keep an idle server alive.
    _track_activity = False

    def initialize(self, door: CernVMExtension) -> None:
        """Remember the extension, which has the client and knows the owner."""
        self.door = door

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse visitors: this door acts with the rights of the server's owner, not with theirs."""
        await super().prepare()
        visitor = self.current_user
        if visitor is not None and self.door.owner and not _is_user(visitor, self.door.owner):
            raise Forbidden(
                "Only the owner of this server may use its connection to the controller. "
                "Ask with a server of your own.",
            )

    def query(self, *allowed: str) -> dict[str, str]:
        """Return the request's parameters.

        Raises
        ------
        Malformed
            When there is one that is not in `allowed`, is given twice or is too long.
        """
        found: dict[str, str] = {}
        for name, values in self.request.query_arguments.items():
            if name in _OF_THE_SERVER:
                continue
            if name not in allowed:
                raise Malformed(f"There is no parameter {name[:40]!r}; there are {', '.join(allowed)}.")
            if len(values) > 1 or len(values[0]) > LONGEST:
                raise Malformed(f"Give {name!r} once, with at most {LONGEST} bytes.")
            found[name] = self.decode_argument(values[0], name)
        return found

    def answer(self, model: msgspec.Struct) -> None:
        """Send `model`; it is about now, so nobody keeps it."""
        self.set_header("Cache-Control", "no-store")
        self.finish(encode(model))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the reason as problem details."""
        failure = kwargs.get("exc_info", (None, None, None))[1]
        if not isinstance(failure, CernVMError):
            failure = _as_error(status_code, failure)
            self.set_status(status_code)
        else:
            self.set_status(failure.status)
        self.set_header("Cache-Control", "no-store")
        self.finish(encode(failure.problem()), set_content_type="application/problem+json")

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


def _is_user(visitor: Any, name: str) -> bool:
    """Say whether a visitor is the hub's user of this name; a hub's service may be called the same."""
    kind = getattr(visitor, "hub_user", {}).get("kind", "user")
    return bool(visitor.username == name and kind == "user")


def _as_error(status: int, failure: BaseException | None) -> CernVMError:
    cls = _BY_STATUS.get(status, CernVMError)
    said = failure.log_message if isinstance(failure, web.HTTPError) and cls is not CernVMError else None
    return cls(said or f"{responses.get(status, 'Error')}. The server's log says more.")


class MachinesHandler(DoorHandler):
    """The owner's machines."""

    @web.authenticated
    @authorized(action="read", resource="cernvm:machines")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Answer with a page of machines, filtered, sorted and paged as the controller does it."""
        query: dict[str, Any] = self.query("owner", "status", "host", "search", "sort", "limit", "cursor")
        limit = query.pop("limit", str(LIMIT))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= LIMIT):
            raise Malformed(f"'limit' is a number from 1 to {LIMIT}.")
        self.answer(await self.door.client.machines.list(**query, limit=int(limit)))


class HealthHandler(DoorHandler):
    """Whether the controller works, as seen from this server."""

    @web.authenticated
    @authorized(action="read", resource="cernvm:health")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Answer with the controller's own health, or with why it cannot be had."""
        self.query()
        self.answer(await self.door.client.health())
