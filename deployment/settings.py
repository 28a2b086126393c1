"""What one deployment is called, and where it keeps and serves things.

The only place that derives a path or a port.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the checkout."""


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
    """

    state: Path
    ip: str
    port: int
    name: str
    subnet: IPv4Network
    cache: Path
    hub_config: Path
    controller_config: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables, each with its default.

        Raises
        ------
        SettingsError
            When one of them cannot be used.
        """
        port = environ.get("PORT") or "8000"
        if not port.isdecimal() or not 1 <= int(port) <= 65535 - 4:
            raise SettingsError(f"PORT={port}: use a number between 1 and {65535 - 4}.")
        name = environ.get("HUB_NAME") or "cernvmhub"
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
            raise SettingsError(
                f"HUB_NAME={name}: use up to 12 lower-case letters and digits, a letter first "
                "(Linux allows a network device no longer name)."
            )
        subnet = environ.get("SUBNET") or "10.80.0.0/20"
        try:
            network = IPv4Network(subnet)
        except ValueError as error:
            raise SettingsError(f"SUBNET={subnet}: use a network like 10.80.0.0/20 ({error}).") from error
        if not network.is_private or not 16 <= network.prefixlen <= 28:  # noqa: PLR2004
            raise SettingsError(f"SUBNET={subnet}: use a private network between /16 and /28.")
        cache = environ.get("CACHE") or Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "cernvmhub"
        return cls(
            state=(ROOT / Path(environ.get("STATE") or ".state").expanduser()).resolve(),
            ip=environ.get("IP") or "127.0.0.1",
            port=int(port),
            name=name,
            subnet=network,
            cache=Path(cache).expanduser().resolve(),
            hub_config=ROOT / (environ.get("HUB_CONFIG") or "jupyterhub_config.py"),
            controller_config=ROOT / (environ.get("CONTROLLER_CONFIG") or "controller_config.py"),
        )

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
        }

    # --- addresses ---

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the hub."""
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
        """Return the file of a secret (`deployment.secrets.NAMES`)."""
        return self.state / name
