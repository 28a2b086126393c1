"""Runs the three components under one supervisor and says how they are."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import xmlrpc.client
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from supervisor.xmlrpc import SupervisorTransport

from deployment.component import COMPONENTS
from deployment.settings import ROOT

if TYPE_CHECKING:
    from deployment.settings import Settings

PROGRAM = """
[program:{component}]
command = setpriv --pdeathsig TERM {python} -m deployment.component {component}
directory = {root}
priority = {priority}
autostart = true
autorestart = true
startsecs = 1
startretries = 1000000
stopsignal = TERM
stopwaitsecs = 20
killasgroup = true
stdout_logfile = {log}/{component}.log
redirect_stderr = true
stdout_logfile_maxbytes = 20MB
stdout_logfile_backups = 2
"""

COMPLAINT = re.compile(r"\[(?:warning|error|critical) *\]")
"""The level in a line of the controller's log."""

UNIX_PATH_MAX = 107
"""Bytes in the path of a unix socket (unix(7))."""


def configuration(settings: Settings) -> str:
    """Return the supervisor's configuration."""
    head = (Path(__file__).parent / "supervisord.conf").read_text()

    def literal(text: object) -> str:
        return str(text).replace("%", "%%")  # the file's own expansion character

    text = head.format(
        log=literal(settings.log), state=literal(settings.state), socket=literal(settings.supervisor)
    )
    if os.geteuid() == 0:
        # Root must say that it means to be root.
        text = text.replace("[supervisord]\n", f"[supervisord]\nuser = {pwd.getpwuid(0).pw_name}\n")
    for priority, component in enumerate(COMPONENTS):
        text += PROGRAM.format(
            component=component,
            priority=priority,
            python=literal(sys.executable),
            root=literal(ROOT),
            log=literal(settings.log),
        )
    return text


class Supervisor:
    """The supervisor of one deployment and what it knows about the components."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the supervisor, which starts the components; it ends when this process does."""
        path = self.settings.state / "supervisord.conf"
        path.write_text(configuration(self.settings))
        self.process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM"),
                *(sys.executable, "-m", "supervisor.supervisord", "--configuration", str(path)),
            ],
            cwd=ROOT,
            env=os.environ | self.settings.environment(),
            stdin=subprocess.DEVNULL,
            # Its own session: Ctrl-C at the terminal reaches the caller only, which then ends it in order.
            start_new_session=True,
        )

    def stop(self) -> None:
        """End hub, controller and proxy, in this order; machines keep running."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()

    def components(self) -> dict[str, dict[str, Any]]:
        """Return the supervisor's record of each component; empty while it does not answer."""
        transport = SupervisorTransport(None, None, f"unix://{self.settings.supervisor}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as rpc:
                records: Any = rpc.supervisor.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return {}
        return {record["name"]: record for record in records}

    def complaint(self, component: str) -> str:
        """Return the last warning or error in a component's log; empty where there is none."""
        found = [line for line in self.tail(component).splitlines() if COMPLAINT.search(line)]
        return COMPLAINT.split(found[-1])[-1].strip() if found else ""

    def tail(self, component: str, lines: int = 25) -> str:
        """Return the end of a component's log."""
        path = self.settings.log / f"{component}.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def serves(url: str, public: str = "") -> bool:
    """Say whether a health page answers well.

    Parameters
    ----------
    url
        Of the page, on this machine.
    public
        An address of whoever serves it as browsers know them, where the proxy goes by that.
    """
    request = urllib.request.Request(url)  # noqa: S310 - of this deployment
    if public:
        request.add_header("Host", urlsplit(public).netloc)
    # No proxy of the environment: this is our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as response:
            return bool(response.status == HTTPStatus.OK)
    except OSError:
        return False
