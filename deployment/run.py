"""``make run``: start controller, hub and proxy, say where they are, and end them together at Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING

from cernvmcontroller.statedir import StateError, ensure_folder
from deployment import appliances, credentials, debian, lock
from deployment.component import COMPONENTS, taken
from deployment.preparation import prepare
from deployment.settings import Settings, SettingsError
from deployment.supervision import UNIX_PATH_MAX, Supervisor, serves

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

PATIENCE = 4
"""How often a component may end before the first success until we say that it does not work."""


class CannotRun(Exception):
    """The deployment does not start; the text says why and what to do."""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)


def refuse_taken_ports(settings: Settings) -> None:
    """Raise when a port that the deployment needs is somebody else's."""
    for component in COMPONENTS:
        if reason := taken(component, settings):
            raise CannotRun(reason)


def refuse_long_state(settings: Settings) -> None:
    """Raise when the supervisor's socket could not be made."""
    if len(bytes(settings.supervisor)) > UNIX_PATH_MAX:
        raise CannotRun(f"STATE={settings.state} is too long a path for a unix socket: use a shorter one.")


def wait_until_ready(supervisor: Supervisor) -> None:
    """Return when hub and controller answer through the proxy; say what happens until then."""
    settings = supervisor.settings
    pages = {
        "hub": (f"{settings.proxy_url}hub/health", settings.url),
        "controller": (
            f"{settings.proxy_url}services/cernvm/api/v1/health",
            settings.service_host or settings.url,
        ),
    }
    seen: dict[str, set[int]] = {component: set() for component in COMPONENTS}
    began, spoke = time.monotonic(), time.monotonic()
    while pages:
        if supervisor.process is not None and supervisor.process.poll() is not None:
            raise CannotRun(f"The supervisor ended; see {settings.log}/supervisord.log.")
        for component, record in supervisor.components().items():
            if record["pid"] and record["pid"] not in seen[component]:
                seen[component].add(record["pid"])
                say(f"  {component}: {'started' if len(seen[component]) == 1 else 'ended, started again'}")
            if len(seen[component]) > PATIENCE:
                raise CannotRun(
                    f"The {component} does not start. The end of {settings.log}/{component}.log:\n\n"
                    + supervisor.tail(component)
                )
        for component, page in list(pages.items()):
            if serves(*page):
                say(f"  {component}: ready after {time.monotonic() - began:.0f} s")
                del pages[component]
        if pages and time.monotonic() - spoke > 10:  # noqa: PLR2004
            spoke = time.monotonic()
            say_what_is_missing(supervisor, pages)
        if pages:
            time.sleep(0.3)


def say_what_is_missing(supervisor: Supervisor, components: Iterable[str]) -> None:
    """Say what is waited for, and what the controller complains of: without its network nothing goes on."""
    say(f"  still waiting for {' and '.join(components)} (logs: {supervisor.settings.log})")
    complaint = supervisor.complaint("controller")
    if complaint:
        say(f"    controller: {complaint}")


def announce(settings: Settings, accounts: credentials.Accounts) -> None:
    """Print where to go and who may log in."""
    width = max(len(account["name"]) for account in accounts["accounts"])
    lines = [
        f"  {account['name']:<{width}}  password {account['password']}"
        + ("  (administrator)" if account["admin"] else "")
        for account in accounts["accounts"]
    ]
    lines += ["", f"Accounts: {settings.accounts}"]
    if not credentials.are_used(settings, accounts):
        lines = [f"Who may log in is said in {settings.hub_config}.", ""]
    say(
        "\n".join(
            [
                "",
                f"CernVM Hub is at {settings.url}",
                *lines,
                f"Logs:     {settings.log}",
                "Ctrl-C ends hub, controller and proxy; machines keep running for the next make run.",
            ]
        )
    )


def watch(supervisor: Supervisor) -> None:
    """Say when a component had to be restarted; return when the supervisor ends."""
    pids = {name: record["pid"] for name, record in supervisor.components().items()}
    while supervisor.process is not None and supervisor.process.poll() is None:
        for name, record in supervisor.components().items():
            if record["pid"] and record["pid"] != pids.get(name):
                pids[name] = record["pid"]
                say(f"The {name} ended and was started again; see {supervisor.settings.log}/{name}.log.")
        time.sleep(1)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat the signal like Ctrl-C."""
    raise KeyboardInterrupt


def ignore_interrupts() -> None:
    """From here on the end is under way; another Ctrl-C does not make it quicker."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def run(settings: Settings) -> None:
    """Run until told to end.

    Raises
    ------
    CannotRun
        With a sentence that says why and what to do.
    """
    try:
        ensure_folder(settings.state)
    except StateError as error:
        raise CannotRun(str(error)) from None
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.take(lock.of_state(settings)))
            stack.enter_context(lock.take(lock.of_name(settings)))
        except lock.RunsAlready as other:
            raise CannotRun(
                f"CernVM Hub {settings.name!r} runs already ({other}). Use it at {settings.url}, or end it "
                "with Ctrl-C where it runs. A second one on this machine needs its own names, for example\n"
                f"  make run STATE=.state2 PORT={settings.port + 100} HUB_NAME=second SUBNET=10.84.0.0/20"
            ) from None
        refuse_taken_ports(settings)
        supervisor = Supervisor(settings)
        try:
            refuse_long_state(settings)
            accounts = prepare(settings)
            say("Starting proxy, controller and hub.")
            supervisor.start()
            wait_until_ready(supervisor)
            announce(settings, accounts)
            watch(supervisor)
        except (appliances.BuildFailed, debian.Missing, StateError) as error:
            raise CannotRun(str(error)) from error
        except OSError as error:
            raise CannotRun(
                f"{error.filename or settings.state}: {error.strerror}. Make room there, or correct its "
                "rights, and try again; nothing that was there before is lost."
            ) from error
        except KeyboardInterrupt:
            say("\nEnding hub, controller and proxy.")
        finally:
            ignore_interrupts()
            supervisor.stop()


def main() -> int:
    """Run; report a reason in a sentence, not in a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        run(Settings.from_environment())
    except (CannotRun, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
