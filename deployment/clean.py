"""``make clean``: end what runs, then remove machines, volumes, pool, network, filter and state."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deployment import lock
from deployment.component import controller, environment
from deployment.settings import REMEMBERED, Settings, SettingsError

if TYPE_CHECKING:
    from typing import TextIO

DEADLINE = 120
"""Seconds for a running deployment to end."""
LIBVIRT_LOGS = Path("/var/log/libvirt/qemu")
"""Where libvirt keeps a log for each machine, also after the machine is gone."""


def end(settings: Settings) -> TextIO:
    """End the deployment if it runs, and return its lock so that nobody starts it meanwhile.

    Raises
    ------
    SettingsError
        When it does not end.
    """
    deadline = time.monotonic() + DEADLINE
    told = None
    while True:
        try:
            return lock.take(lock.of_state(settings))
        except lock.RunsAlready as running:
            if time.monotonic() > deadline or running.pid is None:
                raise SettingsError(f"The deployment does not end: {running}.") from None
            if told != running.pid:
                print(f"Ending the running deployment (process {running.pid}).", flush=True)
                os.kill(running.pid, signal.SIGTERM)
                told = running.pid
            time.sleep(0.2)


def remove_logs(settings: Settings) -> None:
    """Remove libvirt's logs of this hub's machines, where this account may: they are root's."""
    ours = re.compile(rf"{re.escape(settings.name)}-m-[a-z2-7]{{12}}\.log(\.\d+)?")
    try:
        for path in LIBVIRT_LOGS.iterdir():
            if ours.fullmatch(path.name):
                path.unlink(missing_ok=True)
    except (FileNotFoundError, PermissionError):
        return


def clean(settings: Settings) -> int:
    """Remove everything of this state from the machine.

    Returns
    -------
    int
        An exit code: not zero when something stayed.
    """
    if not (settings.state / REMEMBERED).exists():
        print(f"{settings.state} is no state of CernVM Hub: nothing to clean.")
        return 0
    with end(settings):
        command = controller(settings)
        done = subprocess.run(
            [command.arguments[0], "clean", *command.arguments[1:]],
            cwd=settings.state,
            env=environment(settings, command),
            check=False,
        )
        if done.returncode != 0:
            print(
                f"Not everything could be removed; {settings.state} stays, so that make clean can try again.",
                file=sys.stderr,
            )
            return done.returncode
        remove_logs(settings)
        shutil.rmtree(settings.state)
    lock.of_name(settings).unlink(missing_ok=True)
    print(f"Removed: machines, volumes, pool, network and filter of {settings.name!r}, and {settings.state}.")
    print(f"Built appliances stay in {settings.cache}; make distclean removes them too.")
    return 0


def main() -> int:
    """Clean; report a reason in a sentence, not in a traceback."""
    try:
        return clean(Settings.from_environment())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
