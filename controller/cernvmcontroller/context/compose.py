"""The context of a machine: user-data, meta-data and network-config as cloud-init reads them.

It holds no secret: an image with it stays attached to the machine and its text stays readable in the guest.
Everything is composed as data and rendered once, so that nothing that people type can become syntax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from cernvmapi.errors import Invalid

LARGEST = 512 * 1024
"""Bytes of user-data: every machine has its own copy in the pool, and reads it at every boot."""

_SECRET_WORDS = ("token", "password", "passwd", "secret", "private_key", "api_key")


@dataclass(frozen=True)
class NetworkIdentity:
    """How a machine is seen on its network; all of it is known before it boots."""

    mac: str
    address: str
    prefix: int
    gateway: str
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What cloud-init gets, as data."""

    instance_id: str
    hostname: str
    user_data: dict[str, Any] = field(default_factory=dict)
    network: NetworkIdentity | None = None

    def render_user_data(self) -> str:
        """Return the user-data as cloud-config."""
        return "#cloud-config\n" + yaml.safe_dump(self.user_data, sort_keys=True, allow_unicode=True)

    def meta_data(self) -> dict[str, Any]:
        """Return the meta-data; the instance id is the machine's, so a restart is not a new instance."""
        return {"instance-id": self.instance_id, "local-hostname": self.hostname}

    def network_config(self) -> dict[str, Any]:
        """Return the network configuration, version 2, with the interface found by its MAC.

        Addresses are static although the network's DHCP would give the same: a machine that does not ask is
        up earlier. See cloud-init's "Networking config Version 2".
        """
        if self.network is None:
            return {"version": 2, "ethernets": {}}
        interface: dict[str, Any] = {
            "match": {"macaddress": self.network.mac},
            "addresses": [f"{self.network.address}/{self.network.prefix}"],
            "routes": [{"to": "0.0.0.0/0", "via": self.network.gateway}],
        }
        if self.network.nameservers:
            interface["nameservers"] = {"addresses": list(self.network.nameservers)}
        return {"version": 2, "ethernets": {"machine": interface}}


def compose(
    *,
    machine_id: str,
    network: NetworkIdentity | None,
    site: Mapping[str, Any] | None = None,
) -> Context:
    """Return the context of a machine.

    Parameters
    ----------
    machine_id
        Instance id and host name.
    network
        Its place on the network.
    site
        Cloud-config of the site's configuration, merged over ours key by key.

    Raises
    ------
    Invalid
        The site's data has a key that looks like a secret, or is too large.
    """
    site = dict(site or {})
    refuse_secrets(site)
    refuse_oversize(site)
    user_data: dict[str, Any] = {
        "hostname": machine_id,
        "preserve_hostname": False,
        "manage_etc_hosts": "localhost",
        **site,
    }
    return Context(instance_id=machine_id, hostname=machine_id, user_data=user_data, network=network)


def refuse_oversize(site: Mapping[str, Any]) -> None:
    """Refuse a site's cloud-config that is larger than a context should be."""
    size = len(yaml.safe_dump(dict(site), allow_unicode=True).encode())
    if size > LARGEST:
        raise Invalid(
            f"The context has {size // 1024} KiB, and machines take {LARGEST // 1024} KiB: have cloud-init "
            "fetch what is large, with `runcmd` or from a package."
        )


def refuse_secrets(data: object, path: str = "user-data") -> None:
    """Refuse keys that look like secrets: a seed image is readable in the guest for as long as it lives."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if any(word in str(key).lower() for word in _SECRET_WORDS):
                raise Invalid(
                    f"The context may carry no secret, and {path}.{key} looks like one: "
                    "send secrets with the session, over the agent's channel."
                )
            refuse_secrets(value, f"{path}.{key}")
    elif isinstance(data, list):
        for item in data:
            refuse_secrets(item, path)
