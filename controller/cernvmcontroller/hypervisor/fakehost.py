"""What a fake host remembers: it outlives the connections to it, as a real one does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lxml import etree

from cernvmapi.errors import HypervisorFailed, NotFound
from cernvmapi.hosts import SeenNetwork, SeenPool
from cernvmapi.models import Power
from cernvmcontroller.hypervisor import metadata
from cernvmcontroller.hypervisor.interface import DomainState, HostCapabilities, VolumeState
from cernvmcontroller.hypervisor.offers import Offers
from cernvmcontroller.hypervisor.statistics import DomainStatistics
from cernvmcontroller.hypervisor.survey import Survey

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.snapshots import SnapshotState
    from cernvmcontroller.hypervisor.specs import FilterSpec, MachineMetadata, NetworkSpec

_MIB, _GIB = 1024**2, 1024**3

ANNOUNCED = HostCapabilities(
    host_uuid="6d3b8d0e-7a0c-4a5e-9d8c-0f0f0f0f0f0f",
    hostname="fake",
    arch="x86_64",
    cpu_model="Fake-CPU",
    cpus=8,
    memory_mib=32768,
    libvirt_version="9.0.0",
    hypervisor_version="7.2.0",
    domain_types=frozenset({"kvm", "qemu"}),
)
"""What a fake host says of itself where a test says nothing."""


@dataclass
class FakeDomain:
    """A domain."""

    uuid: str
    name: str
    xml: str
    """Its definition."""
    power: Power = Power.OFF
    reason: str = "unknown"
    obeys: bool = True
    """Whether the guest shuts down when asked."""
    stored: bool = False
    """Its memory is on the host's disk, and goes on from there when it is started."""
    snapshots: dict[str, SnapshotState] = field(default_factory=dict)
    """By name, the oldest first."""
    reverted: list[str] = field(default_factory=list)
    """To which of them it was brought back, in order."""
    runs: str = ""
    """The definition that it was started with."""
    run: int = 0
    used: dict[str, Any] = field(default_factory=dict)
    """What it used since its start, by the fields of `DomainStatistics`; a test says so."""

    def state(self) -> DomainState:
        """Return it as the interface shows it."""
        return DomainState(self.uuid, self.name, self.power, self.reason, metadata.parse(self.xml))

    def describe(self, told: MachineMetadata) -> None:
        """Take over what is to be told of it."""
        self.xml = _described(self.xml, told)
        if self.runs:
            self.runs = _described(self.runs, told)

    def update_interface(self, xml: str) -> None:
        """Put an interface in the place of the one with its address, in what runs."""
        wanted, root = etree.fromstring(xml.encode()), etree.fromstring((self.runs or self.xml).encode())
        for node in root.findall("devices/interface"):
            if _mac(node) == _mac(wanted):
                node.getparent().replace(node, wanted)  # type: ignore[union-attr]
                self.runs = etree.tostring(root, encoding="unicode")
                return
        raise HypervisorFailed("operation failed: no matching network device was found")

    def statistics(self) -> DomainStatistics:
        """Return its counters; those that no test set stand still."""
        counters = {"cpu_ms": 0, "disk_read": 0, "disk_written": 0, "network_received": 0, "network_sent": 0}
        return DomainStatistics(self.uuid, self.run, **{"memory_mib": 128, **counters, **self.used})

    def sources(self) -> dict[str, list[str]]:
        """Return what its XML refers to: files, networks and filters."""
        root = etree.fromstring(self.xml.encode())
        return {
            "file": [str(node.get("file")) for node in root.iterfind(".//disk//source[@file]")],
            "network": [str(node.get("network")) for node in root.iterfind(".//interface/source[@network]")],
            "filter": [str(node.get("filter")) for node in root.iterfind(".//interface/filterref")],
        }


@dataclass
class FakeVolume:
    """A volume; only small ones keep their bytes."""

    name: str
    path: str
    capacity: int
    allocation: int = 0
    data: bytes = b""
    backing: str | None = None
    complete: bool = True

    def state(self) -> VolumeState:
        """Return it as the interface shows it."""
        return VolumeState(self.name, self.capacity, self.allocation, self.path, self.backing)


@dataclass
class FakePool:
    """A pool."""

    name: str
    path: str
    capacity: int = 100 * _GIB
    volumes: dict[str, FakeVolume] = field(default_factory=dict)

    @property
    def available(self) -> int:
        """Bytes left."""
        return self.capacity - sum(volume.allocation for volume in self.volumes.values())


@dataclass
class FakeHost:
    """All that a host keeps."""

    domains: dict[str, FakeDomain] = field(default_factory=dict)
    pools: dict[str, FakePool] = field(default_factory=dict)
    networks: dict[str, NetworkSpec] = field(default_factory=dict)
    filters: dict[str, FilterSpec] = field(default_factory=dict)
    consoles: dict[str, bytes] = field(default_factory=dict)
    """What a machine's console says to whoever opens it."""
    offers: Offers = field(default_factory=Offers)
    boots: int = 0
    """How often any domain was started."""

    def domain(self, uuid: str) -> FakeDomain:
        """Return a domain or raise `NotFound`."""
        try:
            return self.domains[uuid]
        except KeyError:
            raise NotFound(f"Domain not found: no domain with matching uuid '{uuid}'") from None

    def pool(self, name: str) -> FakePool:
        """Return a pool or raise `NotFound`."""
        try:
            return self.pools[name]
        except KeyError:
            raise NotFound(f"Storage pool not found: no storage pool with matching name '{name}'") from None

    def files(self) -> set[str]:
        """Return the paths of all volumes."""
        return {volume.path for pool in self.pools.values() for volume in pool.volumes.values()}

    def survey(self) -> Survey:
        """Return what there is."""
        pools = (
            SeenPool(
                name=pool.name,
                active=True,
                kind="dir",
                capacity_mib=pool.capacity // _MIB,
                available_mib=pool.available // _MIB,
            )
            for pool in self.pools.values()
        )
        networks = (
            SeenNetwork(name=network.name, active=True, bridge=network.bridge, forward="nat")
            for network in self.networks.values()
        )
        return Survey(
            domains=len(self.domains),
            running=sum(domain.power is not Power.OFF for domain in self.domains.values()),
            memory_free_mib=ANNOUNCED.memory_mib,
            pools=tuple(pools),
            networks=tuple(networks),
        )

    def define(self, xml: str) -> FakeDomain:
        """Define as QEMU's driver does: a name and a UUID belong together."""
        root = etree.fromstring(xml.encode())
        name, uuid = root.findtext("name"), root.findtext("uuid")
        if not name or not uuid:
            raise HypervisorFailed("XML error: a domain needs a name and a uuid")
        known = self.domains.get(uuid)
        if known is not None and known.name != name:
            raise HypervisorFailed(
                f"operation failed: domain '{known.name}' is already defined with uuid {uuid}"
            )
        if any(other.name == name and other.uuid != uuid for other in self.domains.values()):
            raise HypervisorFailed(f"operation failed: domain '{name}' already exists with another uuid")
        if known is not None:
            known.xml = xml
            return known
        self.domains[uuid] = FakeDomain(uuid, name, xml)
        return self.domains[uuid]

    def boot(self, domain: FakeDomain) -> None:
        """Begin a run; its counters begin at zero."""
        self.boots += 1
        domain.run, domain.used, domain.runs = self.boots, {}, domain.xml
        domain.power, domain.reason = Power.ON, "restored" if domain.stored else "booted"
        domain.stored = False

    def check_startable(self, domain: FakeDomain) -> None:
        """Refuse as QEMU's driver does what refers to things that are not there."""
        sources = domain.sources()
        files = self.files()
        for path in sources["file"]:
            if path not in files:
                raise HypervisorFailed(f"Cannot access storage file '{path}': No such file or directory")
        for name in sources["network"]:
            if name not in self.networks:
                raise HypervisorFailed(f"Network not found: no network with matching name '{name}'")
        for name in sources["filter"]:
            if name not in self.filters:
                raise HypervisorFailed(f"internal error: referenced filter '{name}' is missing")


def _mac(interface: etree._Element) -> str | None:
    node = interface.find("mac")
    return node.get("address") if node is not None else None


def _described(xml: str, told: MachineMetadata) -> str:
    root = etree.fromstring(xml.encode())
    place = root.find("metadata")
    if place is None:
        place = etree.SubElement(root, "metadata")
    for old in place.iterfind(f"{{{metadata.NAMESPACE}}}*"):
        place.remove(old)
    place.append(metadata.element(told))
    return etree.tostring(root, encoding="unicode")
