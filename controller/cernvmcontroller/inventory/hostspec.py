"""Hosts as a site configures them, or an administrator attaches them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from cernvmapi.errors import Conflict, Invalid
from cernvmapi.models import Level, Slug
from cernvmcontroller.hypervisor.bandwidth import UNLIMITED, Bandwidth
from cernvmcontroller.hypervisor.refusal import shown
from cernvmcontroller.hypervisor.specs import FilterSpec, NetworkSpec, PoolSpec
from cernvmcontroller.inventory import credentials
from cernvmcontroller.inventory.levels import highest, lower
from cernvmcontroller.placement.candidate import includes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from cernvmapi.hosts import HostAttach

LARGEST_NETWORK = 4000
"""Machines that a network takes at most: each has a fixed entry in it, and many more make it slow."""

LONGEST_DEVICE = 15
"""Characters that Linux gives the name of a network device (IFNAMSIZ)."""

_HUB_NAME = r"[a-z][a-z0-9]{0,11}"
_RESERVED = frozenset({"test"})


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: Slug
    uris: Annotated[list[str], Meta(min_length=1, max_length=1)]
    level: Level = Level.NOTEBOOK
    pool: Slug | None = None
    pool_path: str | None = None
    shared: bool = False
    reached: bool = True
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
    why_not_more: str = ""
    """Why the level is not higher; empty where somebody chose it, or it is the highest."""
    networked: bool = True
    """It has the machines' network; libvirt there can make one."""
    shared: bool = False
    reached: bool = True
    """The hub reaches its machines over their network."""
    acceleration: str = "auto"
    """``auto``: probed; ``kvm`` or ``qemu``: known by who configured it."""
    maintenance: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    bandwidth: Bandwidth = UNLIMITED
    """Of each machine on it; one that runs has it from its next start on."""

    @property
    def shown_uri(self) -> str:
        """The connection URI without credentials."""
        return shown(self.uri)

    @property
    def migration_address(self) -> str | None:
        """Where the QEMU of other hosts reaches this one's; None where libvirt there has to say it."""
        return urlsplit(self.uri).hostname

    @property
    def provisions(self) -> bool:
        """Whether machines may be made on it, so that it has a pool of ours."""
        return includes(self.level, Level.PROVISION)


@dataclass(frozen=True)
class Defaults:
    """What exists on a host that says nothing else, where credentials are, what machines may send."""

    pool: PoolSpec
    network: NetworkSpec
    filter: FilterSpec
    credentials: Path
    bandwidth: Bandwidth = UNLIMITED
    """Of each machine, on every host."""


def machines_network(hub_name: str, bridge: str, subnet: str, *, bridged: bool = False) -> NetworkSpec:
    """Return the network of the machines on the hub's hosts.

    Parameters
    ----------
    hub_name
        Names the network too.
    bridge
        Its network device.
    subnet
        As ``10.80.0.0/20``; of a larger one the first addresses are used.
    bridged
        See `NetworkSpec`.

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
    return replace(_network(hub_name, bridge, subnet), bridged=bridged)


def load_hosts(entries: Sequence[Mapping[str, Any]], defaults: Defaults) -> list[HostSpec]:
    """Return the configured hosts.

    Parameters
    ----------
    entries
        ``name`` and ``uris`` (one of them), and where a host differs: ``level``, ``pool``, ``pool_path``,
        ``shared``, ``reached``, ``acceleration``, ``maintenance``, ``labels``.
    defaults
        What exists on a host that says nothing else.

    Raises
    ------
    Invalid
        An entry is not valid, or two hosts would share what is not shared.
    """
    hosts: dict[str, HostSpec] = {}
    for raw in entries:
        try:
            entry = msgspec.convert(dict(raw), _Entry)
        except msgspec.ValidationError as error:
            raise Invalid(f"The host {dict(raw).get('name', '?')} is not configured well: {error}") from None
        _refuse_reserved(entry.name)
        level, why = highest(entry.uris[0])
        spec = HostSpec(
            name=entry.name,
            uri=entry.uris[0],
            pool=_pool(entry.pool or defaults.pool.name, entry.pool_path, defaults.pool),
            network=defaults.network,
            filter=defaults.filter,
            level=lower(entry.level, level),
            why_not_more=why if includes(entry.level, level) else "",
            networked=_networked(entry.level, level),
            shared=entry.shared,
            reached=entry.reached,
            acceleration=entry.acceleration,
            maintenance=entry.maintenance,
            labels=entry.labels,
            bandwidth=defaults.bandwidth,
        )
        if spec.name in hosts:
            raise Invalid(f"Two hosts have the name {spec.name}; give each its own.")
        try:
            refuse_private_pool(spec, hosts.values())
        except Conflict as error:
            raise Invalid(error.detail) from None
        hosts[spec.name] = spec
    return list(hosts.values())


def attached(request: HostAttach, defaults: Defaults) -> HostSpec:
    """Return a host that is attached through the API; its pool is its own where nothing else is said.

    Raises
    ------
    Invalid
        Its credentials or its subnet cannot be used.
    """
    _refuse_reserved(request.name)
    uri = credentials.complete(request.uris[0], request.credentials, defaults.credentials)
    level, why = highest(uri)
    network, filter_ = defaults.network, defaults.filter
    if request.subnet is not None:
        network, filter_ = _own_network(request.name, request.subnet, defaults)
    return HostSpec(
        name=request.name,
        uri=uri,
        pool=_own_pool(request, defaults.pool),
        network=network,
        filter=filter_,
        level=lower(request.level, level),
        why_not_more=why if includes(request.level, level) else "",
        networked=_networked(request.level, level),
        shared=request.shared,
        reached=request.reached,
        acceleration=request.acceleration,
        maintenance=request.maintenance,
        labels=request.labels,
        bandwidth=defaults.bandwidth,
    )


def refuse_private_pool(spec: HostSpec, others: Iterable[HostSpec]) -> None:
    """Raise `Conflict` where a host would have another's pool that both do not call shared."""
    for other in others:
        same = other.name != spec.name and other.pool.name == spec.pool.name
        if same and other.provisions and spec.provisions and not (other.shared and spec.shared):
            raise Conflict(
                f"The hosts {other.name} and {spec.name} both have the storage pool {spec.pool.name}: say "
                "shared=True on both if it is the same storage, else give each a pool of its own."
            )


def refuse_overlap(spec: HostSpec, others: Iterable[HostSpec]) -> None:
    """Raise `Conflict` where a host's own network has addresses of another network of the hub."""
    for other in others:
        if other.network.name != spec.network.name and other.network.cidr.overlaps(spec.network.cidr):
            raise Conflict(
                f"The subnet {spec.network.cidr} overlaps with {other.network.cidr} of the network "
                f"{other.network.name}: choose another one."
            )


def _refuse_reserved(name: str) -> None:
    if name in _RESERVED:
        raise Invalid(f"A host cannot have the name {name}, which is a word of the API; choose another one.")


def _networked(chosen: Level, possible: Level) -> bool:
    return includes(chosen, Level.PROVISION) and includes(possible, Level.NOTEBOOK)


def _pool(name: str, path: str | None, default: PoolSpec) -> PoolSpec:
    return PoolSpec(name, path or (default.path if name == default.name else f"{default.path}-{name}"))


def _own_pool(request: HostAttach, default: PoolSpec) -> PoolSpec:
    """Return the pool that is named, else one that no other host has."""
    if request.pool is not None:
        return _pool(request.pool, request.pool_path, default)
    path = request.pool_path or f"{default.path}-{request.name}"
    return PoolSpec(f"{default.name}-{request.name}", path)


def _own_network(host: str, subnet: str, defaults: Defaults) -> tuple[NetworkSpec, FilterSpec]:
    """Return a network, and its filter, that only this host has."""
    name = f"{defaults.network.name}-{host}"
    # The host's name may be longer than a device's.
    bridge = f"br-{hashlib.sha256(name.encode()).hexdigest()[: LONGEST_DEVICE - 3]}"
    network = _network(name, bridge, subnet)
    cidr = network.cidr
    if not cidr.is_private or cidr.is_loopback or cidr.is_link_local:
        raise Invalid(f"subnet {subnet} is not for private use; take one of 10.0.0.0/8, for example.")
    return network, replace(defaults.filter, name=name, gateway=str(network.gateway), subnet=str(cidr))


def _network(name: str, bridge: str, subnet: str) -> NetworkSpec:
    """Return a network of the first addresses of a subnet; `Invalid` where it is none or too small."""
    try:
        cidr = IPv4Network(subnet)
    except ValueError as error:
        raise Invalid(f"subnet {subnet!r} is no network like 10.80.0.0/20: {error}.") from None
    room = cidr.num_addresses - NetworkSpec.RESERVED - 1
    if room < 1:
        raise Invalid(f"subnet {subnet} has no room for machines: use a /27 or a larger one.")
    return NetworkSpec(name, bridge, cidr, hosts=min(LARGEST_NETWORK, room))
