"""What is asked of a hypervisor: pools, networks, filters and domains that shall exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cernvmapi.errors import Invalid
from cernvmapi.models import Hardware
from cernvmcontroller.hypervisor.bandwidth import UNLIMITED, Bandwidth

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network

Format = Literal["qcow2", "raw"]


@dataclass(frozen=True)
class PoolSpec:
    """A directory pool that shall exist."""

    name: str
    path: str


@dataclass(frozen=True)
class NetworkSpec:
    """A network whose addresses are all known before any machine boots: with NAT, or on the hosts' bridge.

    Parameters
    ----------
    name
        Of the libvirt network.
    bridge
        Of the bridge interface, at most 15 characters.
    cidr
        The subnet; its first address is the host's.
    hosts
        How many fixed MAC-to-address entries it has; machines use the indices 0 to ``hosts - 1``.
    mac_prefix
        Three octets, ``52:54:00`` (QEMU's own) by default. The other three are the address's last three, so
        networks with different subnets never share a MAC.
    bridged
        The hosts have the bridge already, and it leads to one and the same network on all of them. Nobody
        there gives machines their addresses (they know them); the first one is the hub's machine's.
    """

    name: str
    bridge: str
    cidr: IPv4Network
    hosts: int = 4000
    mac_prefix: str = "52:54:00"
    bridged: bool = False

    RESERVED = 16
    """Addresses at the start of the subnet that no machine gets: the gateway, and room for services."""

    def __post_init__(self) -> None:
        room = self.cidr.num_addresses - self.RESERVED - 1
        if not 0 < self.hosts <= room:
            raise Invalid(f"The subnet {self.cidr} has room for {max(room, 0)} machines, not {self.hosts}.")

    @property
    def gateway(self) -> IPv4Address:
        """The host's address on this network."""
        return self.cidr[1]

    def address(self, index: int) -> IPv4Address:
        """Return the address of entry `index`."""
        if not 0 <= index < self.hosts:
            raise Invalid(f"The network {self.name} has no entry {index}; it has {self.hosts}.")
        return self.cidr[self.RESERVED + index]

    def mac(self, index: int) -> str:
        """Return the MAC address of entry `index`."""
        return ":".join([self.mac_prefix, *(f"{octet:02x}" for octet in self.address(index).packed[1:])])


@dataclass(frozen=True)
class FilterSpec:
    """What the machines of a network may send, and to whom.

    Parameters
    ----------
    name
        Of the network filter.
    gateway
        The host's address on the machines' network: only DHCP, DNS and `host_ports` are open there.
    host_ports
        TCP ports on the gateway that machines may reach: the hub's and the controller's.
    blocked
        Other addresses and networks (``192.0.2.0/24``) out of reach: the host's own on other interfaces.
    subnet
        The machines' network (``10.80.0.0/20``): apart from the gateway nothing in it may be reached, also
        not by way of the gateway. Isolated bridge ports alone leave that way open.
    """

    name: str
    gateway: str
    host_ports: tuple[int, ...] = ()
    blocked: tuple[str, ...] = ()
    subnet: str = ""


@dataclass(frozen=True)
class VolumeRef:
    """A volume as a disk, with its whole chain written out, so that nothing is probed.

    Parameters
    ----------
    path
        Of the volume's file, as libvirt reports it.
    format
        ``qcow2`` or ``raw``.
    backing
        Path and format of each image below it, the nearest first.
    """

    path: str
    format: Format = "qcow2"
    backing: tuple[tuple[str, Format], ...] = ()


@dataclass(frozen=True)
class MachineMetadata:
    """What a domain says about itself in our XML namespace, so that a lost database can be rebuilt."""

    hub_id: str
    machine_id: str
    owner: str | None = None
    server_name: str | None = None
    appliance: str | None = None
    flavor: str | None = None
    cluster: str | None = None
    network: str | None = None
    address: str | None = None
    home: str | None = None
    notebook: bool = False
    port: int | None = None
    revision: int | None = None


@dataclass(frozen=True)
class DomainSpec:
    """A machine's domain, from which `~cernvmcontroller.hypervisor.domainxml.build` makes the XML."""

    name: str
    uuid: str
    title: str
    metadata: MachineMetadata
    domain_type: str
    """``kvm`` or ``qemu``."""
    vcpus: int
    memory_mib: int
    root: VolumeRef
    network: str
    mac: str
    address: str
    filter: str
    hardware: Hardware = field(default_factory=Hardware)
    seed: str | None = None
    """Path of the context's ISO image."""
    home: VolumeRef | None = None
    layer: str | None = None
    """Path of the read-only layer image."""
    vsock: bool = False
    bandwidth: Bandwidth = UNLIMITED
