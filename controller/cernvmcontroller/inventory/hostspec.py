"""Hosts as a site configures them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cernvmapi.errors import Invalid
from cernvmapi.models import Level, Slug
from cernvmcontroller.hypervisor.interface import FilterSpec, NetworkSpec, PoolSpec
from cernvmcontroller.hypervisor.refusal import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


LARGEST_NETWORK = 4000
"""Machines that a network takes at most: each has a fixed entry in it, and many more make it slow."""

LONGEST_DEVICE = 15
"""Characters that Linux gives the name of a network device (IFNAMSIZ)."""

_HUB_NAME = r"[a-z][a-z0-9]{0,11}"


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: Slug
    uris: Annotated[list[str], Meta(min_length=1, max_length=1)]
    level: Level = Level.NOTEBOOK
    pool: Slug | None = None
    pool_path: str | None = None
    shared: bool = False
    acceleration: Literal["auto", "kvm", "qemu"] = "auto"
    maintenance: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class HostSpec:
    """A host, with what shall exist on it."""

    name: str
    uri: str
    pool: PoolSpec
    network: NetworkSpec
    filter: FilterSpec
    level: Level = Level.NOTEBOOK
    shared: bool = False
    acceleration: str = "auto"
    """``auto``: probed; ``kvm`` or ``qemu``: known by who configured it."""
    maintenance: bool = False
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def shown_uri(self) -> str:
        """The connection URI without credentials."""
        return shown(self.uri)


def machines_network(hub_name: str, bridge: str, subnet: str) -> NetworkSpec:
    """Return the network that the hub makes on its hosts.

    Parameters
    ----------
    hub_name
        Names the network too.
    bridge
        Its network device.
    subnet
        As ``10.80.0.0/20``; of a larger one the first addresses are used.

    Raises
    ------
    Invalid
        libvirt or Linux would refuse one of them, on every host and for ever.
    """
    if not re.fullmatch(_HUB_NAME, hub_name):
        raise Invalid(
            f"hub_name {hub_name!r} cannot name what the hub makes on hosts: use up to 12 lower-case letters "
            "and digits, a letter first."
        )
    if not re.fullmatch(rf"[a-zA-Z0-9_.-]{{1,{LONGEST_DEVICE}}}", bridge):
        raise Invalid(
            f"bridge {bridge!r} cannot name a network device: use up to {LONGEST_DEVICE} letters, digits, "
            "dots, dashes and underscores."
        )
    try:
        cidr = IPv4Network(subnet)
    except ValueError as error:
        raise Invalid(f"subnet {subnet!r} is no network like 10.80.0.0/20: {error}.") from None
    room = cidr.num_addresses - NetworkSpec.RESERVED - 1
    if room < 1:
        raise Invalid(f"subnet {subnet} has no room for machines: use a /27 or a larger one.")
    return NetworkSpec(hub_name, bridge, cidr, hosts=min(LARGEST_NETWORK, room))


def load_hosts(
    entries: Sequence[Mapping[str, Any]], *, pool: PoolSpec, network: NetworkSpec, filter_: FilterSpec
) -> list[HostSpec]:
    """Return the configured hosts.

    Parameters
    ----------
    entries
        ``name`` and ``uris`` (one of them), and where a host differs: ``level``, ``pool``, ``pool_path``,
        ``shared``, ``acceleration``, ``maintenance``, ``labels``.
    pool, network, filter_
        What exists on a host that says nothing else.

    Raises
    ------
    Invalid
        An entry is not valid, or two hosts would share what is not shared.
    """
    hosts: dict[str, HostSpec] = {}
    pools: dict[str, HostSpec] = {}
    for raw in entries:
        try:
            entry = msgspec.convert(dict(raw), _Entry)
        except msgspec.ValidationError as error:
            raise Invalid(f"The host {dict(raw).get('name', '?')} is not configured well: {error}") from None
        name = entry.pool or pool.name
        spec = HostSpec(
            name=entry.name,
            uri=entry.uris[0],
            pool=PoolSpec(
                name, entry.pool_path or (pool.path if name == pool.name else f"{pool.path}-{name}")
            ),
            network=network,
            filter=filter_,
            level=entry.level,
            shared=entry.shared,
            acceleration=entry.acceleration,
            maintenance=entry.maintenance,
            labels=entry.labels,
        )
        if spec.name in hosts:
            raise Invalid(f"Two hosts have the name {spec.name}; give each its own.")
        other = pools.get(name)
        if other is not None and not (other.shared and spec.shared):
            raise Invalid(
                f"The hosts {other.name} and {spec.name} both have the storage pool {name}: say "
                "shared=True on "
                "both if it is the same storage, else give each a pool of its own."
            )
        hosts[spec.name] = pools[name] = spec
    return list(hosts.values())
