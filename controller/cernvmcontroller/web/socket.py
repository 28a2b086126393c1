"""The WebSocket of a console: who may is settled before it is one, and asked again while it is.

Who opens it must be known as for any other route, by token or by cookie, *and* show the ticket that they got
for this machine: a ticket that was stolen is worth nothing without its owner, and a page of another origin,
which a browser gives the owner's cookie, cannot get a ticket.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import structlog
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from cernvmapi.consoles import PROTOCOL, TICKET_PREFIX
from cernvmapi.errors import (
    CernVMError,
    Conflict,
    Forbidden,
    HostUnreachable,
    Malformed,
    NotFound,
    StoreUnavailable,
)
from cernvmapi.models import encode
from cernvmcontroller.consoles.viewing import TooSlow
from cernvmcontroller.events import RESET
from cernvmcontroller.machines.actions import check_shown
from cernvmcontroller.store import Actor
from cernvmcontroller.tasks import end
from cernvmcontroller.web.base import BaseHandler
from cernvmcontroller.web.identity import Access
from cernvmcontroller.web.logs import logger

if TYPE_CHECKING:
    from cernvmapi.consoles import ConsoleRequest
    from cernvmapi.models import Machine
    from cernvmcontroller.consoles.viewing import Viewing

log = logger(__name__)

LARGEST_MESSAGE = 64 * 1024
"""Bytes that a viewer sends at once."""
PING = 20.0
"""Seconds; proxies cut what is silent for a minute."""
_LONGEST_REASON = 120
_EVENTS = ("machine.changed", "machine.deleted")


class Ending(NamedTuple):
    """How a socket is closed: a code for programs (RFC 6455, section 7.4.2) and a sentence."""

    code: int
    reason: str


GOING = Ending(1001, "The controller is being restarted. Connect again.")
OVER = Ending(4000, "The machine's console has ended.")
REVOKED = Ending(4003, "You may not see this console any more.")
GONE = Ending(4004, "The machine is gone, or somebody else's by now.")
SLOW, UNAVAILABLE = 4008, 4009


class ConsoleSocket(BaseHandler, WebSocketHandler):
    """One viewing of one machine's console."""

    max_message_size = LARGEST_MESSAGE
    ping_interval = PING

    _serving: asyncio.Task[None] | None = None
    _viewing: Viewing | None = None

    async def prepare(self) -> None:
        """Settle who asks, and whether they may."""
        super().prepare()
        if self.request.query:
            raise Malformed("A console takes nothing in its URL.")
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise Malformed("This is a WebSocket: open it as one, with a console's ticket.")
        who = await self.identified(fresh=True)
        self._refuse_foreign_pages(cookie=who.cookie)
        if not Access.WRITE.allows(who):
            raise Forbidden(
                f"Consoles take the scope {Access.WRITE.scope}, which {who.name} does not have here."
            )
        self._machine = self.path_kwargs["id"]
        await self.services.engine.machines_known()
        self._request = self.services.tickets.redeem(self._ticket(), who.label, self._machine)
        await self._mine()

    def _ticket(self) -> str:
        offered = [each.strip() for each in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        tickets = [each.removeprefix(TICKET_PREFIX) for each in offered if each.startswith(TICKET_PREFIX)]
        if PROTOCOL not in offered or len(tickets) != 1:
            raise Malformed(
                f"Offer the subprotocols {PROTOCOL} and {TICKET_PREFIX} with the ticket behind it."
            )
        return tickets[0]

    def _refuse_foreign_pages(self, *, cookie: bool) -> None:
        """Raise `Forbidden` for a page of another origin, whatever it knows.

        Browsers say where a socket's page comes from, always; programs have no reason to.
        """
        origin = self.request.headers.get("Origin")
        if origin is None and not cookie:
            return
        page = urlsplit(origin or "")
        secure = self.proxied and self.request.headers.get("X-Forwarded-Proto", "").startswith("https")
        if page.netloc.lower() != self.request.host.lower() or (secure and page.scheme != "https"):
            raise Forbidden("A page of another site asked for this in your name; it was not done.")

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002
        """Say yes: it was checked before anything else was."""
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:  # noqa: ARG002
        """Choose the protocol; the ticket is not sent back."""
        return PROTOCOL

    async def _mine(self) -> Machine:
        machine = await self.services.engine.machines.get(self._machine)
        who = self.identity
        if who is None or who.only_owner not in {None, machine.owner}:
            raise NotFound(f"There is no machine {self._machine}.")
        return machine

    async def open(self, *_args: str, **_kwargs: str) -> None:
        """Begin to show; what is said from now on is said in the socket."""
        self._serving = asyncio.create_task(self._serve(self._request), name=f"viewer of {self._machine}")
        self.services.streams.add(self._serving)
        self._serving.add_done_callback(self.services.streams.discard)

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what the viewer sends; the next message is read when that is done."""
        if self._viewing is None:
            return  # it does not show yet: nothing can have been meant for it
        data = message.encode() if isinstance(message, str) else message
        try:
            await self._viewing.write(data)
        except Malformed as error:
            self._close(Ending(1002, error.detail))
        except ConnectionError:
            # The line is lost for now, and with it what is typed; of its end the reading side tells.
            return

    def on_close(self) -> None:
        """Show no more."""
        if self._serving is not None:
            self._serving.cancel()

    async def _serve(self, request: ConsoleRequest) -> None:
        began, ending = time.monotonic(), GOING
        try:
            ending = await self._view(request)
        except CernVMError as error:
            ending = Ending(UNAVAILABLE, error.detail)
        except WebSocketClosedError:
            pass
        except Exception:
            log.exception("viewing failed")
            ending = Ending(1011, "The controller made a mistake; its log has the rest.")
        finally:
            self._close(ending)
            log.info(
                "console closed",
                machine=self._machine,
                kind=request.kind.value,
                code=self.close_code or ending.code,  # where the viewer left, the viewer's
                seconds=round(time.monotonic() - began, 1),
            )

    async def _view(self, request: ConsoleRequest) -> Ending:
        who = self.identity
        assert who is not None
        actor = Actor(name=who.label, address=self.request.remote_ip, request_id=self.request_id)
        metrics = self.services.metrics
        with self.services.viewers.one(self._machine, who.label):
            # From before it is opened, so that nothing that happens to the machine is missed.
            guard = asyncio.create_task(self._guard())
            try:
                viewing = await self.services.engine.screens.open(actor, self._machine, request)
            except BaseException:
                await end([guard])
                raise
            structlog.contextvars.bind_contextvars(machine=self._machine)
            metrics.consoles_opened.labels(request.kind.value).inc()
            with metrics.consoles.labels(request.kind.value).track_inprogress():
                self._viewing = viewing
                tasks = [guard, asyncio.create_task(self._show(viewing))]
                try:
                    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    return next(iter(done)).result()
                finally:
                    await end(tasks)
                    await viewing.close()

    async def _show(self, viewing: Viewing) -> Ending:
        try:
            if viewing.greeting is not None:
                await self._send(encode(viewing.greeting), binary=False)
            while data := await viewing.read():
                await self._send(data, binary=True)
        except TooSlow as error:
            return Ending(SLOW, error.detail)
        except TimeoutError:
            return Ending(SLOW, "The viewer took nothing for too long.")
        return OVER

    async def _send(self, data: bytes, *, binary: bool) -> None:
        """Send, and wait until it is gone: what is not read here is not read from the machine either."""
        async with asyncio.timeout(self.services.patience):
            await self.write_message(data, binary=binary)

    async def _guard(self) -> Ending:
        """Return when the viewer may see this no more: asked now and then, and when something happens."""
        engine = self.services.engine
        events = engine.events.subscribe(engine.events.last_id(), _EVENTS)
        subject = f"machine/{self._machine}"
        due = time.monotonic() + self.services.recheck
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    event = await anext(events)
                if event.subject != subject and event.type != RESET:
                    continue
            except TimeoutError:
                due = time.monotonic() + self.services.recheck
                if not await self.still_may(Access.WRITE):
                    return REVOKED
            try:
                machine = await self._mine()
                check_shown(self._request.kind, machine.status, machine.target, machine.power)
            except NotFound:
                return GONE
            except Conflict:
                return OVER
            except (StoreUnavailable, HostUnreachable):
                continue  # what is unknown has not ended

    def _close(self, ending: Ending) -> None:
        reason = ending.reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        self.close(ending.code, reason)
