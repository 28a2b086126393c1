"""The controller's end of the agent's channel: one link a running machine, re-made whenever it breaks.

A link knows what the agent said last and tells `changed` when that is something new. It believes the guest
nothing that matters: a message of another session changes nothing, and a session that ended has ended. A
guest that talks without end is listened to at its `Allowance`; one that does not listen is hung up on.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from cernvmapi.errors import CernVMError, HostUnreachable, NotFound
from cernvmcontroller import trace
from cernvmcontroller.consoles.serial import readable
from cernvmcontroller.guests import agentwire as wire
from cernvmcontroller.guests.allowance import BYTES, Allowance
from cernvmcontroller.hypervisor.interface import ByteStream, WrongState
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from cernvmcontroller.guests.sessions import Held

_log = structlog.get_logger(__name__)
_GARBAGE_LOGGED = 5
_HEARD_WITHIN = 30.0
"""Seconds in which the guest has to take what it is told."""
_ENDED = ("failed", "exited")

Opener = Callable[[], Awaitable[ByteStream]]


class AgentLink:
    """A link to one machine's agent.

    Parameters
    ----------
    machine
        Id of the machine.
    opener
        Opens the channel.
    changed
        Called after each message that changed what is known.
    retry
        Seconds before a channel that broke is opened again.
    """

    def __init__(self, machine: str, opener: Opener, changed: Callable[[], None], retry: float = 1.0) -> None:
        self.machine = machine
        self.hello: wire.Hello | None = None
        """The first thing it said in this boot; None before."""
        self.state = ""
        """``waiting``, ``starting``, ``ready``, ``failed`` or ``exited``, as far as it was said."""
        self.session: str | None = None
        """Id of the session that the agent has."""
        self.phase: wire.PhaseSaid | None = None
        self.failed: wire.Failed | None = None
        self.exited: wire.Exited | None = None
        self.mismatch: int | None = None
        """The agent's protocol version where it is not ours."""
        self.port: int | None = None
        self.garbage = 0
        self._offered: str | None = None
        """Id of a session that is being delivered: what the agent says of it may come before its reply."""
        self._greeted = False
        """Whether it said hello since the channel was opened."""
        self._allowance = Allowance()
        self._opener = opener
        self._changed = changed
        self._retry = retry
        self._stream: ByteStream | None = None
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[wire.Reply]] = {}
        self._task = asyncio.create_task(self._run(), name=f"agent {machine}")

    @property
    def connected(self) -> bool:
        """Whether the agent is there, speaks our protocol, and can be told something."""
        return self._stream is not None and self.hello is not None and self.mismatch is None

    async def close(self) -> None:
        """Hang up."""
        await end([self._task])

    async def deliver(
        self, held: Held, *, home: bool, wait_for_context: bool = False, seconds: float = 30
    ) -> str | None:
        """Give the agent a session; return why it refused, None where it took it.

        Parameters
        ----------
        home
            Whether the machine has a home to be mounted.
        wait_for_context
            Whether the server shall start only after the context was applied.
        seconds
            That it has to answer.

        Raises
        ------
        ConnectionError
            The channel is closed, so nobody knows whether it took it.
        """
        if self.session != held.id:
            self.failed = self.exited = self.phase = self.port = None
        self._offered = held.id
        session = held.session
        try:
            refused = await self.ask(
                "session",
                seconds,
                session=held.id,
                port=session.port,
                command=session.command,
                env=session.env,
                files=session.files,
                home={"serial": "home", "mount": "/home/cernvm"} if home else None,
                wait_for_context=wait_for_context,
            )
            if refused is None and self.session != held.id:
                self.session, self.state = held.id, "starting"
        finally:
            self._offered = None
        if refused is None and self.state != "ready":
            # It may have been delivered before: then the agent says nothing new by itself.
            await self._send(wire.encode("query"))
        return refused

    async def tell_the_time(self) -> None:
        """Have the agent set its clock, which stood still while the machine was paused.

        Raises
        ------
        ConnectionError
            The channel is closed: the agent is told the time when it is open again.
        """
        refused = await self.ask("clock", _HEARD_WITHIN, time=time.time())
        if refused is not None:
            _log.warning("the machine's clock was not set", machine=self.machine, reason=refused)

    async def ask(self, kind: Any, seconds: float, **fields: Any) -> str | None:
        """Send a request, with what it is for, and wait for the agent's reply.

        Returns
        -------
        str or None
            Why it was refused or not answered; None where it was done.

        Raises
        ------
        ConnectionError
            The channel is closed, so nobody knows whether it was done.
        """
        number = next(self._ids)
        reply: asyncio.Future[wire.Reply] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            async with asyncio.timeout(seconds):
                await self._send(wire.encode(kind, id=number, **trace.ids(), **fields))
                said = await reply
        except TimeoutError:
            return f"The agent did not answer within {seconds:g} s."
        finally:
            self._replies.pop(number, None)
        return None if said.ok else readable((said.error or "The agent gave no reason.").encode())

    async def _send(self, line: bytes) -> None:
        stream = self._stream
        if stream is None:
            raise ConnectionResetError("not connected")
        try:
            async with asyncio.timeout(_HEARD_WITHIN):
                await stream.write(line)
        except TimeoutError:
            await stream.close()
            raise ConnectionResetError("the agent does not read") from None
        except asyncio.CancelledError:
            # Half a line may be under way: what came after it would not be understood.
            await stream.close()
            raise

    async def _run(self) -> None:
        trace.begin(machine=self.machine)  # it outlives the operation that opened it
        refused = ""
        while True:
            try:
                stream = await self._opener()
            except (HostUnreachable, NotFound, WrongState) as error:
                _log.debug("agent channel not open", reason=error.detail)
            except CernVMError as error:
                if error.detail != refused:  # it is tried each second, and says the same each time
                    _log.warning("the host does not open the agent's channel", reason=error.detail)
                refused = error.detail
            else:
                refused = ""
                await self._converse(stream)
            await asyncio.sleep(self._retry)

    async def _converse(self, stream: ByteStream) -> None:
        self._stream, self._greeted = stream, False
        reader = wire.LineReader()
        try:
            await self._send(wire.encode("query"))
            while data := await stream.read():
                await self._spend(len(data) / BYTES)
                for message in reader.feed(data):
                    await self._spend(1)
                    await self._hear(message)
        except ConnectionError as error:
            _log.debug("agent channel broke", reason=str(error))
        finally:
            self._stream = None
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(ConnectionResetError("it broke"))
            await stream.close()

    async def _spend(self, amount: float) -> None:
        """Let a guest that says too much wait: the channel is full then, and so is its end of it."""
        wait = self._allowance.spend(amount, asyncio.get_running_loop().time())
        if wait:
            await asyncio.sleep(wait)

    async def _hear(self, message: wire.Message | wire.Garbage) -> None:
        before = self._known()
        await self._take(message)
        if self._known() != before:
            self._changed()

    async def _take(self, message: wire.Message | wire.Garbage) -> None:
        expected = self._offered or self.session
        match message:
            case wire.Hello():
                await self._greet(message)
            case wire.PhaseSaid():
                self.phase = message
            case wire.Ready(session=session, port=port) if session == expected and not (
                session == self.session and self.state in _ENDED
            ):
                self.session, self.state, self.port = session, "ready", port
            case wire.Failed(session=session) if session in (None, expected):
                self.session, self.state, self.failed = session or self.session, "failed", message
            case wire.Exited(session=session) if session is not None and session == expected:
                self.session, self.state, self.exited = session, "exited", message
            case wire.Reply(id=number):
                reply = self._replies.get(number)
                if reply is not None and not reply.done():
                    reply.set_result(message)
            case wire.Garbage(reason=reason):
                self.garbage += 1
                if self.garbage <= _GARBAGE_LOGGED:
                    _log.warning("the agent says what is no message", reason=reason[:200])
            case _:
                _log.debug("a message of another session", kind=type(message).__name__)

    def _known(self) -> tuple[object, ...]:
        """Return all of what the agent said that somebody acts on."""
        return (
            self._greeted, self.hello, self.state, self.session, self.phase, self.failed, self.exited,
            self.mismatch, self.port,
        )  # fmt: skip

    async def _greet(self, hello: wire.Hello) -> None:
        self._greeted = True
        if hello.protocol != wire.PROTOCOL:
            self.hello, self.mismatch = hello, hello.protocol
            return
        if self.hello is None or hello.boot_id != self.hello.boot_id:
            self.failed = self.exited = self.phase = self.port = None
        self.hello, self.mismatch = hello, None
        self.session, self.state = hello.session, hello.state
        await self._send(wire.encode("welcome", protocol=wire.PROTOCOL, time=time.time()))


class AgentLinks:
    """The links of all running machines."""

    def __init__(self, retry: float = 1.0) -> None:
        self._links: dict[str, AgentLink] = {}
        self._retry = retry

    def open(self, machine: str, opener: Opener, changed: Callable[[], None]) -> AgentLink:
        """Return the machine's link, made where there is none."""
        if machine not in self._links:
            self._links[machine] = AgentLink(machine, opener, changed, self._retry)
        return self._links[machine]

    def get(self, machine: str) -> AgentLink | None:
        """Return the machine's link, if there is one."""
        return self._links.get(machine)

    async def leave(self, machine: str) -> None:
        """Hang up; no error where there is none."""
        link = self._links.pop(machine, None)
        if link is not None:
            await link.close()

    async def close(self) -> None:
        """Hang up all."""
        for machine in list(self._links):
            await self.leave(machine)
