"""What a person sees when a start fails: the reason, and the end of the machine's console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyterhub.spawner import SpawnException

from cernvmapi.errors import CernVMError, Invalid
from cernvmspawner.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cernvmapi.models import Machine

TAIL_LINES = 40
TAIL_CHARACTERS = 6000

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]")
"""Terminal sequences (ECMA-48) and control characters, which say nothing in a page."""


class ServerNotStarted(SpawnException):  # type: ignore[misc]
    """A start that failed, in words for the person who waits.

    JupyterHub shows ``message`` and ``message_html`` in answers and on error pages, and reads
    ``jupyterhub_message`` and ``jupyterhub_html_message`` for the progress stream and the page of a server
    that is not running: both pairs say the same.

    Parameters
    ----------
    message
        A sentence that says what to do next.
    reason
        Label of JupyterHub's metrics: an error's code.
    logs
        What to show folded under the sentence: titles and texts.
    """

    def __init__(
        self, message: str, *, reason: str, status_code: int = 500, logs: Mapping[str, str] | None = None
    ) -> None:
        logs = {title: text for title, text in (logs or {}).items() if text}
        html = render("failure.html", message=message, logs=logs)
        super().__init__(message, reason=reason, message_html=html, status_code=status_code)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = html


def server_not_started(
    error: CernVMError, machine: Machine | None = None, console: str = ""
) -> ServerNotStarted:
    """Return the exception for a start that failed with `error`.

    Parameters
    ----------
    machine
        As it was when it failed; the end of its console is kept with it.
    console
        What the console says, when the machine does not have it.
    """
    server_log = next((str(one["log_tail"]) for one in error.errors if one.get("log_tail")), "")
    return ServerNotStarted(
        error.detail,
        reason=error.code,
        # JupyterHub's own status for options that cannot be used.
        status_code=400 if isinstance(error, Invalid) else error.status,
        logs={
            "End of the notebook server's log": tidy_console(server_log),
            "End of the machine's console": tidy_console(
                (machine.console_tail if machine else None) or console
            ),
        },
    )


def tidy_console(text: str) -> str:
    """Return the last lines of a console's log without what only a terminal understands."""
    # A carriage return on its own means that the line is written again: the last version counts.
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in _CONTROL.sub(_keep_return, text).split("\n")]
    lines = [line.rstrip() for line in lines if line.strip()]
    return "\n".join(lines[-TAIL_LINES:])[-TAIL_CHARACTERS:]


def _keep_return(match: re.Match[str]) -> str:
    return "\r" if match.group() == "\r" else ""
