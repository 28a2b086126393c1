"""The agent: one loop over the channel, the server's end and the work in between."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

from cernvmagent import __version__, clock, protocol
from cernvmagent.work import Failed, Machine, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmagent.channel import Channel
    from cernvmagent.probe import Probe
    from cernvmagent.server import Server

HELLO_EVERY = 2.0
LOOK_EVERY = 0.2
"""Seconds between two looks at a server that starts, and at a port to which nobody is connected."""


class Agent:
    """Follows the controller's messages.

    Its state is one of ``waiting`` (for a session), ``starting``, ``ready`` and ``failed``.
    """

    def __init__(
        self,
        channel: Channel,
        machine: Machine | None = None,
        *,
        log: Callable[[str], None] = lambda _: None,
        set_clock: Callable[[float], bool] = clock.set_clock,
    ) -> None:
        self.state = "waiting"
        self.session: str | None = None
        self._channel = channel
        self._machine = machine or Machine()
        self._write = log
        self._about = ""
        self._set_clock = set_clock
        self._boot_id = _read("/proc/sys/kernel/random/boot_id")
        self._server: Server | None = None
        self._probe: Probe | None = None
        self._wanted: protocol.Session | None = None
        self._work: Work | None = None
        self._next: Callable[[], None] | None = None
        self._known = -1
        self._hello_at = 0.0
        self._ended = False
        # Work that is done, and signals, wake the loop.
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._later: list[Callable[[], None]] = []

    def run(self) -> None:
        """Follow the controller until `end`."""
        try:
            while not self._ended:
                self._wait()
                self.step()
        finally:
            self._leave()
            self._channel.close()

    def end(self) -> None:
        """End the loop; may be called by a signal's handler."""
        self._ended = True
        self._wake()

    def step(self) -> None:
        """Do all that is to be done now, without waiting."""
        for line in self._channel.step():
            self._hear(line)
        while self._later:
            self._later.pop(0)()
        self._look_at_server()
        self._say_hello()

    def _log(self, sentence: str) -> None:
        """Write a line, and which request, machine and operation it is about."""
        self._write(f"{sentence} {self._about}".rstrip())

    # --- what the controller says ---

    def _hear(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except protocol.Garbage as garbage:
            if garbage.id is not None:
                self._reply(garbage.id, str(garbage))
            return
        match message:
            case protocol.Welcome():
                self._welcomed(message)
            case protocol.Query():
                self._known = self._channel.sessions
                self._hello()
            case protocol.Clock():
                self._clock(message.time)
                self._reply(message.id)
            case protocol.Session():
                self._take(message)
            case protocol.Stop():
                self._stop(message)

    def _welcomed(self, message: protocol.Welcome) -> None:
        self._known = self._channel.sessions
        if message.time is not None:
            self._clock(message.time)
        if message.protocol != protocol.PROTOCOL:
            reason = (
                f"The agent of this appliance speaks protocol {protocol.PROTOCOL}, the controller protocol "
                f"{message.protocol}: use an appliance and a layer that belong to the controller."
            )
            self._log(reason)
            self._send("failed", session=self.session, phase="context", reason=reason, log_tail="")

    def _clock(self, seconds: float) -> None:
        if self._set_clock(seconds):
            self._log("the clock was set")

    def _take(self, session: protocol.Session) -> None:
        self._reply(session.id)
        if session.session == self.session:
            return
        self.session = session.session
        self._about = session.about
        self._log("a session came")
        self._wanted = session
        self.state = "starting"
        self._begin(lambda: self._start_work(session))

    def _start_work(self, session: protocol.Session) -> None:
        old, self._server = self._server, None
        self._drop_probe()

        def what(work: Work) -> Server | None:
            machine = self._machine
            if old is not None:
                old.stop()
            if session.wait_for_context:
                self._phase("context", "The context is applied.")
                for error in machine.wait_for_context(work.cancelled):
                    self._phase("context", f"cloud-init: {error[:300]}")
            if not work.cancelled():
                machine.write_files(session)
            if session.home is not None and not work.cancelled():
                self._phase("home", "The home is mounted.")
                machine.mount_home(session.home, work.cancelled)
            if work.cancelled():
                return None
            self._phase("server", "The notebook server starts.")
            return machine.start_server(session)

        self._work = Work(what, lambda work: self._soon(lambda: self._started(work, session)))
        self._work.start()

    def _started(self, work: Work, session: protocol.Session) -> None:
        self._work = None
        self._server = work.result
        if self._run_next():
            return
        if work.error is not None:
            self._fail(work.error)
        elif self._server is not None:
            self._probe = self._machine.probe(session)

    def _stop(self, message: protocol.Stop) -> None:
        self.session = None
        self._wanted = None
        self.state = "waiting"
        self._about = message.about
        self._log("the server is ended")

        def begin() -> None:
            old, self._server = self._server, None
            self._drop_probe()

            def what(_: Work) -> None:
                if old is not None:
                    old.stop()
                self._machine.leave()

            self._work = Work(what, lambda work: self._soon(lambda: stopped(work)))
            self._work.start()

        def stopped(work: Work) -> None:
            self._work = None
            self._reply(message.id, str(work.error) if work.error else None)
            self._run_next()

        self._begin(begin)

    def _begin(self, what: Callable[[], None]) -> None:
        """Begin long work, after what is being done was cancelled; only the last wish counts."""
        if self._work is None:
            what()
            return
        self._work.cancel()
        self._next = what

    def _run_next(self) -> bool:
        following, self._next = self._next, None
        if following is None:
            return False
        following()
        return True

    # --- the server ---

    def _look_at_server(self) -> None:
        server = self._server
        if server is None:
            return
        code = server.code
        if code is not None:
            tail = server.tail()
            server.close()
            self._server = None
            self._drop_probe()
            if self.state == "ready":
                self._log(f"the notebook server ended ({code})")
                self.state = "failed"
                self._send("exited", session=self.session, code=code, log_tail=tail)
            else:
                reason = f"The notebook server ended with {_ending(code)}. {self._machine.full()}"
                self._fail(Failed("server", reason.rstrip()), tail)
        elif self._probe is not None and self._probe.answered():
            self._drop_probe()
            self.state = "ready"
            self._log("the notebook server answers")
            assert self._wanted is not None
            self._send("ready", session=self.session, port=self._wanted.port)

    def _fail(self, error: Failed, tail: str = "") -> None:
        self.state = "failed"
        self._log(str(error))
        self._send("failed", session=self.session, phase=error.phase, reason=str(error), log_tail=tail)

    def _drop_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _leave(self) -> None:
        """Leave the machine clean: it is shut down, or the agent replaced."""
        if self._work is not None:
            self._work.cancel()
            self._work.join(10)
            self._server = self._server or self._work.result
        if self._server is not None:
            self._server.stop()
        self._machine.leave()

    # --- what the agent says ---

    def _say_hello(self) -> None:
        """Say hello to a controller that has not answered, every now and then."""
        if not self._channel.connected or self._known == self._channel.sessions:
            self._hello_at = 0.0
        elif time.monotonic() >= self._hello_at:
            self._hello_at = time.monotonic() + HELLO_EVERY
            self._hello()

    def _hello(self) -> None:
        self._send(
            "hello",
            protocol=protocol.PROTOCOL,
            agent=__version__,
            boot_id=self._boot_id,
            state=self.state,
            session=self.session,
            hostname=os.uname().nodename,
        )

    def _phase(self, phase: str, message: str) -> None:
        """Tell how far the work is, from whatever thread does it."""
        self._soon(lambda: self._send("phase", phase=phase, message=message))
        self._log(message)

    def _reply(self, number: int | None, error: str | None = None) -> None:
        if number is not None:
            self._send("reply", id=number, ok=error is None, **({"error": error} if error else {}))

    def _send(self, kind: str, **fields: Any) -> None:
        self._channel.send({"type": kind, **fields})

    # --- the loop ---

    def _soon(self, what: Callable[[], None]) -> None:
        self._later.append(what)
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._wake_in, b"!")
        except BlockingIOError:
            return  # it will wake anyway

    def _wait(self) -> None:
        """Wait until something is to be done."""
        poll = select.poll()
        poll.register(self._wake_out, select.POLLIN)
        seconds: float | None = None
        port = self._channel.fileno()
        if port is None:
            seconds = LOOK_EVERY
        else:
            poll.register(port, self._channel.interest)
            if self._known != self._channel.sessions:
                seconds = max(0.0, self._hello_at - time.monotonic())
        if self._server is not None:
            poll.register(self._server.pidfd, select.POLLIN)
        if self._probe is not None:
            seconds = min(LOOK_EVERY, LOOK_EVERY if seconds is None else seconds)
        poll.poll(None if seconds is None else seconds * 1000)
        try:
            while os.read(self._wake_out, 1024):
                pass
        except BlockingIOError:
            pass


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()
