"""How hosts are attached, changed and looked at; `cernvmapi.models.Host` is what is listed."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from cernvmapi.models import Labels, Level, Name, Power, Received, Sent, Slug

_END = r"$(?!\n)"
"""The end: ``$`` alone lets a line break pass."""
_USER = r"([A-Za-z_][A-Za-z0-9._-]{0,63}@)?"
_PLACE = r"([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"
_PATH = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
URI_PATTERN = (
    r"^[a-z]{2,16}(\+(unix|tls|ssh|libssh2|libssh))?://"
    rf"({_USER}{_PLACE}(/{_PATH}){{0,4}}/?|/({_PATH})?){_END}"
)
"""What a connection URI may look like: a transport that is not in clear, no password, no parameters.

libvirt's parameters can start programs on the controller's machine (``command``) and switch checks off
(``no_verify``); what a connection needs of them is made from the credentials' name. Described in
https://libvirt.org/uri.html and https://libvirt.org/remote.html.
"""

Uri = Annotated[str, Meta(pattern=URI_PATTERN, max_length=512)]
Notes = Annotated[str, Meta(max_length=10_000)]
FilePath = Annotated[str, Meta(pattern=rf"^(/[A-Za-z0-9_.-]*[A-Za-z0-9_-]){{1,16}}{_END}", max_length=255)]
Place = Annotated[str, Meta(pattern=rf"^({_USER}{_PLACE})?{_END}", max_length=255)]
Subnet = Annotated[str, Meta(pattern=rf"^[0-9]{{1,3}}(\.[0-9]{{1,3}}){{3}}/[0-9]{{1,2}}{_END}")]


class HostAttach(Received, frozen=True, kw_only=True):
    """A host that shall run machines, or be looked at."""

    name: Slug
    """Its id for good; it may be given another name later."""
    uris: Annotated[list[Uri], Meta(min_length=1, max_length=1)]
    """Of its hypervisor, as libvirt on the controller opens it."""
    credentials: Slug | None = None
    """Name of a folder of the controller with certificates or keys; they are never sent."""
    level: Level = Level.NOTEBOOK
    """What it may be used for at most."""
    pool: Slug | None = None
    """Name of its storage pool; None: one of its own."""
    pool_path: FilePath | None = None
    shared: bool = False
    """The pool is the same storage as that of this name on other hosts."""
    subnet: Subnet | None = None
    """A network of its own for its machines; None: the hub's, as on other hosts."""
    reached: bool = True
    """The hub reaches its machines over their network: only then they serve notebooks."""
    acceleration: Literal["auto", "kvm", "qemu"] = "auto"
    maintenance: bool = False
    labels: Labels = field(default_factory=dict)
    notes: Notes = ""
    address: Place = ""
    """Where people reach it for a console or SSH; empty: the URI's."""


class HostChange(Received, frozen=True, kw_only=True):
    """What shall be different; what is None stays as it is."""

    name: Name | None = None
    maintenance: bool | None = None
    """No machine is placed on it or started on it; those that run go on."""
    labels: Labels | None = None
    notes: Notes | None = None
    address: Place | None = None
    uris: Annotated[list[Uri], Meta(min_length=1, max_length=1)] | None = None
    """It moved; this and what follows is for hosts that were attached through the API."""
    credentials: Slug | None = None
    level: Level | None = None
    reached: bool | None = None


class DrainRequest(Received, frozen=True, kw_only=True):
    """All machines shall leave a host, and none come."""

    at_once: Annotated[int, Meta(ge=1, le=10)] = 2
    """How many are moved at the same time."""


class EvacuateRequest(Received, frozen=True, kw_only=True):
    """The machines of a host that is dead shall go on elsewhere."""

    is_off: bool = False
    """Whoever asks has seen to it that the host is off and stays off until its disks may be used again."""


class Proposal(Sent, frozen=True, kw_only=True):
    """A move that would spread the machines more evenly."""

    machine: str
    name: str
    from_host: str
    to_host: str
    before: float
    """How uneven the hosts are before it: the standard deviation of what is promised, in parts of one."""
    after: float


class HostTest(Received, frozen=True, kw_only=True):
    """A connection to be tried."""

    uri: Uri
    credentials: Slug | None = None


class SeenPool(Sent, frozen=True, kw_only=True):
    """A storage pool as libvirt has it, whoever made it."""

    name: str
    active: bool
    kind: str = ""
    """``dir``, ``netfs``, ``rbd``, …"""
    capacity_mib: int = 0
    available_mib: int = 0


class SeenDomain(Sent, frozen=True, kw_only=True):
    """A domain as libvirt has it, whoever made it."""

    uuid: str
    name: str
    power: Power
    reason: str = ""
    """Why it is so, in libvirt's word."""
    machine: str | None = None
    """Id of the hub's machine that it is; None for a foreign one, which the hub leaves alone."""
    foreign: bool = True
    """This hub did not make it."""


class SeenNetwork(Sent, frozen=True, kw_only=True):
    """A network as libvirt has it, whoever made it."""

    name: str
    active: bool
    bridge: str = ""
    forward: str = ""
    """``nat``, ``route``, ``bridge``, …; empty for one that leads nowhere."""


class HostReport(Sent, frozen=True, kw_only=True):
    """What answers at a connection URI, or why nothing does."""

    reachable: bool
    reason: str = ""
    """Why it is not reachable, or why it may not be used for more."""
    level: Level | None = None
    """The most that it may be used for."""
    hostname: str = ""
    arch: str = ""
    cpu_model: str = ""
    cpu_features: list[str] = field(default_factory=list)
    cpus: int = 0
    memory_mib: int = 0
    memory_free_mib: int | None = None
    domains: int = 0
    """All that there are, running or not, whoever made them."""
    running: int = 0
    domain_types: list[str] = field(default_factory=list)
    libvirt_version: str = ""
    hypervisor_version: str = ""
    pools: list[SeenPool] = field(default_factory=list)
    networks: list[SeenNetwork] = field(default_factory=list)
