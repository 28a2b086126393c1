"""What one deployment is called, and where it keeps and serves things.

The only place that derives a path or a port.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the checkout."""


REMEMBERED = "settings.json"
"""File in the state that keeps the settings; a folder without it is no state of ours."""

CONFIGS = {"HUB_CONFIG": "jupyterhub_config.py", "CONTROLLER_CONFIG": "controller_config.py"}
"""The configuration files of the checkout."""

LAST_PORT = 65535 - 4
"""The highest PORT: four more follow it."""

LARGEST, SMALLEST = 16, 27
"""Prefix lengths of a SUBNET."""

ORIGIN = re.compile(r"https?://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?")
"""What SUBDOMAIN_HOST and PUBLIC_URL are: an origin as a browser writes it."""


class SettingsError(ValueError):
    """A variable of the command cannot be used; the text says which, and what it may be."""


@dataclass(frozen=True)
class Settings:
    """The variables of ``make run`` and everything that follows from them.

    Parameters
    ----------
    state
        Folder of all that the deployment remembers.
    ip
        Address that the proxy serves browsers on.
    port
        Its TCP port; the following four are the deployment's own.
    name
        Begins the name of every libvirt object of this deployment, so that several can share a machine.
    subnet
        Addresses of the machines; the first one is this machine's.
    cache
        Folder of built appliances.
    hub_config, controller_config
        The configuration files.
    subdomain_host
        JupyterHub's option of this name: the origin under which browsers find the hub, where each server and
        the controller have a host of their own below it. Empty: one origin for all.
    public_url
        The origin under which browsers find the hub where a TLS server stands in front. Empty: the proxy's,
        or that of `subdomain_host`.
    """

    state: Path
    ip: str
    port: int
    name: str
    subnet: IPv4Network
    cache: Path
    hub_config: Path
    controller_config: Path
    subdomain_host: str = ""
    public_url: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables.

        One that is not given is as it was when the state was made, or else has its default.

        Raises
        ------
        SettingsError
            When one of them cannot be used.
        """
        state = (ROOT / Path(environ.get("STATE") or ".state").expanduser()).resolve()
        remembered = _remembered(state)

        def value(name: str, default: str) -> str:
            return environ.get(name) or remembered.get(name) or default

        for name in ("PORT", "HUB_NAME", "SUBNET"):
            if name in remembered and value(name, "") != remembered[name]:
                raise SettingsError(
                    f"{name}={environ[name]}: {state} was made with {name}={remembered[name]}, and its "
                    f"machines rely on that. Leave {name} out, or use another STATE, or make clean first."
                )
        port, name, subnet = (
            value("PORT", "8000"),
            value("HUB_NAME", "cernvmhub"),
            value("SUBNET", "10.80.0.0/20"),
        )
        if not port.isdecimal() or not 1 <= int(port) <= LAST_PORT:
            raise SettingsError(f"PORT={port}: use a number between 1 and {LAST_PORT}.")
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
            raise SettingsError(
                f"HUB_NAME={name}: use up to 12 lower-case letters and digits, a letter first "
                "(Linux allows a network device no longer name)."
            )
        try:
            network = IPv4Network(subnet)
        except ValueError as error:
            raise SettingsError(f"SUBNET={subnet}: use a network like 10.80.0.0/20 ({error}).") from error
        if not network.is_private or not LARGEST <= network.prefixlen <= SMALLEST:
            raise SettingsError(f"SUBNET={subnet}: use a private network between /{LARGEST} and /{SMALLEST}.")
        subdomain_host, public_url = (
            _origin(name, value(name, "")) for name in ("SUBDOMAIN_HOST", "PUBLIC_URL")
        )
        if subdomain_host and public_url not in {"", subdomain_host}:
            raise SettingsError(
                f"PUBLIC_URL={public_url}: with SUBDOMAIN_HOST={subdomain_host} the hub is there. Leave "
                "PUBLIC_URL out."
            )
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cernvmhub"
        return cls(
            state=state,
            ip=value("IP", "127.0.0.1"),
            port=int(port),
            name=name,
            subnet=network,
            cache=Path(value("CACHE", str(cache))).expanduser().resolve(),
            hub_config=ROOT / value("HUB_CONFIG", CONFIGS["HUB_CONFIG"]),
            controller_config=ROOT / value("CONTROLLER_CONFIG", CONFIGS["CONTROLLER_CONFIG"]),
            subdomain_host=subdomain_host,
            public_url=public_url,
        )

    def remember(self) -> None:
        """Keep the settings in the state, for whoever later names only that."""
        # Here: who cleans up reads settings without the virtual environment.
        from cernvmcontroller.statedir import write_private  # noqa: PLC0415

        kept = self.environment()
        # The state's own place is known, and so are the checkout's files: both may move.
        defaults = {"STATE": str(self.state), **{name: str(ROOT / file) for name, file in CONFIGS.items()}}
        kept = {name: value for name, value in kept.items() if defaults.get(name) != value}
        write_private(self.state / REMEMBERED, json.dumps(kept, indent=2) + "\n")

    def environment(self) -> dict[str, str]:
        """Return the variables that make another process come to the same settings."""
        return {
            "STATE": str(self.state),
            "IP": self.ip,
            "PORT": str(self.port),
            "HUB_NAME": self.name,
            "SUBNET": str(self.subnet),
            "CACHE": str(self.cache),
            "HUB_CONFIG": str(self.hub_config),
            "CONTROLLER_CONFIG": str(self.controller_config),
            "SUBDOMAIN_HOST": self.subdomain_host,
            "PUBLIC_URL": self.public_url,
        }

    # --- addresses ---

    @property
    def url(self) -> str:
        """Where a browser finds the hub."""
        origin = self.subdomain_host or self.public_url
        return f"{origin}/" if origin else self.proxy_url

    @property
    def service_host(self) -> str:
        """The controller's own origin for browsers; empty where it is the hub's."""
        if not self.subdomain_host:
            return ""
        hub = urlsplit(self.subdomain_host)
        return f"{hub.scheme}://cernvm--service.{hub.netloc}"  # as JupyterHub's subdomain_hook names it

    @property
    def proxy_url(self) -> str:
        """Where this machine finds the proxy."""
        ip = "127.0.0.1" if self.ip in {"", "0.0.0.0", "::"} else self.ip  # noqa: S104
        return f"http://{ip}:{self.port}/"

    @property
    def gateway(self) -> str:
        """Address of this machine on the machines' network."""
        return str(self.subnet.network_address + 1)

    @property
    def bridge(self) -> str:
        """Name of the network device that has `gateway`."""
        return f"{self.name}-br"

    @property
    def proxy_api_port(self) -> int:
        """Where the proxy takes the hub's orders (loopback, mutual TLS)."""
        return self.port + 1

    @property
    def hub_port(self) -> int:
        """Where the hub listens for proxy and machines (on `gateway`, mutual TLS)."""
        return self.port + 2

    @property
    def service_port(self) -> int:
        """Where the controller listens for the proxy (loopback, mutual TLS)."""
        return self.port + 3

    @property
    def controller_port(self) -> int:
        """Where the controller listens for spawner and machines (loopback and `gateway`, TLS of its own)."""
        return self.port + 4

    # --- files ---

    @property
    def log(self) -> Path:
        """Folder of the logs."""
        return self.state / "log"

    @property
    def accounts(self) -> Path:
        """URL and accounts, with their passwords."""
        return self.state / "accounts.json"

    @property
    def certificates(self) -> Path:
        """Folder of JupyterHub's ``internal_ssl`` certificates."""
        return self.state / "internal-ssl"

    @property
    def controller_ca(self) -> Path:
        """Who signed the certificate of `controller_port`; the controller makes it at its first start."""
        return self.state / "controller-tls" / "ca.crt"

    @property
    def appliances(self) -> Path:
        """Where the built appliances are (JSON: name to path)."""
        return self.state / "appliances.json"

    @property
    def supervisor(self) -> Path:
        """The supervisor's unix socket."""
        return self.state / "supervisor.sock"

    def secret(self, name: str) -> Path:
        """Return the file of a secret (`deployment.credentials.SECRETS`)."""
        return self.state / name


def _origin(name: str, given: str) -> str:
    origin = given.rstrip("/")
    if origin and not ORIGIN.fullmatch(origin):
        raise SettingsError(
            f"{name}={origin}: use what a browser has before the first slash of the hub's pages, in lower "
            "case, for example https://hub.example.org."
        )
    return origin


def _remembered(state: Path) -> dict[str, str]:
    try:
        remembered: dict[str, str] = json.loads((state / REMEMBERED).read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(
            f"STATE={state} cannot be read ({error.strerror}): correct its rights, or use another one."
        ) from None
    except ValueError:
        raise SettingsError(
            f"{state / REMEMBERED} is damaged: restore it from a backup, or write into it, as JSON, the "
            "variables that the state was made with (PORT, HUB_NAME, SUBNET)."
        ) from None
    return remembered
