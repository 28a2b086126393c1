"""The notebook server: a process of the user, with a log that only root reads."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedWriter

LOG = "/var/log/cernvmhub/server.log"
TAIL = 40
"""Lines of the log that go into a report."""

PATH = "/opt/server/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

LAYER = "/opt/cernvmhub/layer"

OWN = {
    "PATH": PATH,
    "USER": "cernvm",
    "LOGNAME": "cernvm",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "JUPYTER_RUNTIME_DIR": "/run/cernvmhub/jupyter",
    "JUPYTER_PATH": f"{LAYER}/share/jupyter",
    "JUPYTER_CONFIG_PATH": f"{LAYER}/etc/jupyter",
}
"""What is this machine's own business, whatever the hub's process has of it."""

FOREIGN = {
    "LC_ALL",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_ROOT",
    "CONDA_DEFAULT_ENV",
}
"""What JupyterHub hands down from its own process (``env_keep``) and would lead astray in another machine."""


class ServerFailed(Exception):
    """The server cannot be started; the sentence says why."""


def environment(given: dict[str, str], home: str) -> dict[str, str]:
    """Put together the environment of the server.

    Parameters
    ----------
    given
        What the hub wants it to be.
    home
        The home folder.
    """
    kept = {name: value for name, value in given.items() if name not in FOREIGN}
    return kept | OWN | {"HOME": home}


class Server:
    """A server process from its start to its end."""

    def __init__(
        self,
        command: list[str],
        env: dict[str, str],
        home: str,
        *,
        user: tuple[int, int] | None = (1000, 1000),
        log: str = LOG,
    ) -> None:
        self.log = log
        with _open_log(log) as out:
            self._began = out.tell()
            uid, gid = user or (None, None)
            try:
                self.process = subprocess.Popen(  # noqa: S603
                    command, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    start_new_session=True, umask=0o022, user=uid, group=gid,
                    extra_groups=[] if user else None,
                )  # fmt: skip
            except FileNotFoundError:
                raise ServerFailed(f"This appliance has no program {command[0]}.") from None
            except OSError as error:
                raise ServerFailed(f"{command[0]} cannot be started: {error.strerror}.") from None
        self._like_others()
        self.pidfd = os.pidfd_open(self.process.pid)

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def tail(self) -> str:
        """Return the last lines that it wrote since its start."""
        try:
            with open(self.log, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._began, size - 64 * 1024))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-TAIL:])

    def stop(self, patience: float = 10.0) -> None:
        """End it, politely at first."""
        for how, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if self.code is not None:
                break
            try:
                os.killpg(self.process.pid, how)
            except ProcessLookupError:
                break
            end = time.monotonic() + wait
            while self.code is None and time.monotonic() < end:
                time.sleep(0.05)
        self.close()

    def close(self) -> None:
        """Forget the process."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _like_others(self) -> None:
        """Let the kernel end it when memory is short: only the agent is exempted."""
        try:
            with open(f"/proc/{self.process.pid}/oom_score_adj", "w", encoding="ascii") as file:
                file.write("0")
        except OSError:
            return


def _open_log(path: str) -> BufferedWriter:
    """Open the log for appending, the last one kept beside it once it is large."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        if os.stat(path).st_size > 8 * 1024 * 1024:
            os.replace(path, f"{path}.1")
    except FileNotFoundError:
        pass
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    file = os.fdopen(fd, "ab")
    file.seek(0, os.SEEK_END)
    return file
