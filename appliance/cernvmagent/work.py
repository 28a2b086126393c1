"""The long work between a session's arrival and a running server, and its undoing, beside the loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from cernvmagent import context, home, probe, protocol, secretfiles, server, space

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmagent.protocol import Session

OWNER = (home.UID, home.GID)
DEFAULT_HOME = "/home/cernvm"


class Failed(Exception):
    """A session came to nothing; `phase` says where, the sentence why."""

    def __init__(self, phase: str, reason: str) -> None:
        super().__init__(reason)
        self.phase = phase


class Machine:
    """What of the machine a session uses: memory for secrets, the home's disk, a process.

    Every method may take its time. Tests replace it.
    """

    secrets = protocol.SECRETS

    def __init__(self) -> None:
        self._home: str | None = None

    def wait_for_context(self, cancelled: Callable[[float], bool]) -> list[str]:
        """Wait until the context is applied."""
        try:
            return context.wait(cancelled)
        except context.ContextFailed as error:
            raise Failed("context", str(error)) from None

    def write_files(self, session: Session) -> None:
        """Write a session's files."""
        try:
            secretfiles.write(session.files, self.secrets, OWNER)
        except OSError as error:
            raise Failed("context", f"The session's files cannot be written: {error.strerror}.") from None

    def mount_home(self, wanted: protocol.Home, cancelled: Callable[[float], bool]) -> None:
        """Make the home available."""
        try:
            device = home.find(wanted.serial, cancelled=cancelled)
            if home.source_of(wanted.mount) != device:
                home.prepare(device)
                home.mount(device, wanted.mount)
            # Also where an agent before this one mounted it: nobody's data come before the stamp is off.
            if home.is_unfinished(device):
                home.furnish(wanted.mount)
                home.finish(device)
        except home.HomeFailed as error:
            raise Failed("home", str(error)) from None
        except OSError as error:
            raise Failed("home", f"The home cannot be used: {error.strerror}.") from None
        self._home = wanted.mount

    def start_server(self, session: Session) -> server.Server:
        """Start the notebook server."""
        place = session.home.mount if session.home else DEFAULT_HOME
        try:
            return server.Server(session.command, server.environment(session.env, place), place)
        except server.ServerFailed as error:
            raise Failed("server", str(error)) from None
        except OSError as error:
            reason = f"The server's log cannot be written: {error.strerror}."
            raise Failed("server", f"{reason} {self.full()}".rstrip()) from None

    def full(self) -> str:
        """Say which disks are full."""
        return space.full("/", self._home or DEFAULT_HOME)

    def probe(self, session: Session) -> probe.Probe:
        """Make what finds out whether the server answers."""
        return probe.of_server(session.env, session.port)

    def leave(self) -> None:
        """Forget secrets, and leave the home clean."""
        secretfiles.clear(self.secrets)
        if self._home is not None:
            home.unmount(self._home)
            self._home = None


class Work(threading.Thread):
    """One piece of long work; what it has to say goes through `say`, its result to `done`."""

    def __init__(self, what: Callable[[Work], Any], done: Callable[[Work], None]) -> None:
        super().__init__(daemon=True)
        self._what = what
        self._done = done
        self._cancelled = threading.Event()
        self.result: Any = None
        self.error: Failed | None = None

    def cancel(self) -> None:
        """Ask it to end before its time."""
        self._cancelled.set()

    def cancelled(self, seconds: float = 0) -> bool:
        """Wait so long at most, and return whether it should end."""
        return self._cancelled.wait(seconds)

    def run(self) -> None:
        """Work."""
        try:
            self.result = self._what(self)
        except Failed as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it; its text may hold secrets
            self.error = Failed("context", f"The agent failed in the machine ({type(error).__name__}).")
        self._done(self)
