"""The documents that libvirt gets: whole ones against golden files, and the rules that they must keep."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from cernvmapi.errors import Invalid
from cernvmapi.models import Hardware
from cernvmcontroller.hypervisor import domainxml, filterxml, metadata, networkxml, storagexml
from cernvmcontroller.hypervisor.bandwidth import Bandwidth
from cernvmcontroller.hypervisor.specs import DomainSpec, FilterSpec, MachineMetadata, NetworkSpec, VolumeRef

GOLDEN = Path(__file__).parent / "golden"
POOL = "/var/lib/libvirt/cernvmhub"

METADATA = MachineMetadata(
    hub_id="6d3b8d0e-7a0c-4a5e-9d8c-0f0f0f0f0f0f",
    machine_id="m-abcdefgh2345",
    owner="Zoë <&>",
    server_name="",
    appliance="cernvm",
    flavor="small",
    network="cernvmhub",
    address="10.80.0.16",
    home="v-abcdefgh2345",
    notebook=True,
    port=8888,
)
MACHINE = DomainSpec(
    name="cernvmhub-m-abcdefgh2345",
    uuid="0e6f6b0c-5f0e-5a38-9b46-0b1e7a6c3f51",
    title="Zoë's machine",
    metadata=METADATA,
    domain_type="qemu",
    vcpus=2,
    memory_mib=2048,
    root=VolumeRef(f"{POOL}/disk.qcow2", "qcow2", ((f"{POOL}/base.qcow2", "qcow2"),)),
    network="cernvmhub",
    mac="52:54:00:50:00:10",
    address="10.80.0.16",
    filter="cernvmhub",
    seed=f"{POOL}/seed.iso",
    home=VolumeRef(f"{POOL}/home.qcow2"),
    layer=f"{POOL}/layer.iso",
)
NETWORK = NetworkSpec("cernvmhub", "cernvmhub0", IPv4Network("10.80.0.0/20"))
FILTER = FilterSpec("cernvmhub", "10.80.0.1", (8002, 8004), ("192.0.2.10",), "10.80.0.0/20")

GOLDENS = {
    "domain-qemu-bios": domainxml.build(MACHINE),
    "domain-kvm-uefi": domainxml.build(
        replace(
            MACHINE,
            domain_type="kvm",
            hardware=Hardware(firmware="uefi", disk_bus="scsi", seed_bus="sata"),
            vsock=True,
            bandwidth=Bandwidth(send=50, receive=100),
        )
    ),
    "network": networkxml.build(replace(NETWORK, hosts=3)),
    "filter": filterxml.build(FILTER),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_documents_are_as_they_were(name: str) -> None:
    assert GOLDENS[name] + "\n" == (GOLDEN / f"{name}.xml").read_text()


# --- domains ---


def devices(spec: DomainSpec) -> etree._Element:
    found = etree.fromstring(domainxml.build(spec).encode()).find("devices")
    assert found is not None
    return found


def test_every_image_chain_is_written_out_to_its_end() -> None:
    for disk in devices(MACHINE).iterfind("disk"):
        last = disk
        while (below := last.find("backingStore")) is not None:
            last = below
        assert last.tag == "backingStore"
        assert len(last) == 0
        driver = disk.find("driver")
        assert driver is not None
        assert driver.get("type") in {"qcow2", "raw"}


def test_an_interface_is_limited_only_where_the_site_says_so() -> None:
    limits = {
        Bandwidth(): None,
        Bandwidth(send=2): [("outbound", "2048")],
        Bandwidth(receive=3): [("inbound", "3072")],
    }
    for bandwidth, expected in limits.items():
        node = devices(replace(MACHINE, bandwidth=bandwidth)).find("interface/bandwidth")
        found = None if node is None else [(str(limit.tag), limit.get("average")) for limit in node]
        assert found == expected


def test_a_chain_of_two_images() -> None:
    root = VolumeRef("/p/disk", "qcow2", (("/p/upper", "qcow2"), ("/p/lower", "raw")))
    disk = devices(replace(MACHINE, root=root)).find("disk")
    assert disk is not None
    assert disk.find("backingStore/source[@file='/p/upper']") is not None
    assert disk.find("backingStore/backingStore/source[@file='/p/lower']") is not None
    assert disk.find("backingStore/backingStore/backingStore") is not None


def test_disks_on_scsi_and_sata_share_their_names() -> None:
    hardware = Hardware(disk_bus="sata", seed_bus="scsi")
    names = [node.get("dev") for node in devices(replace(MACHINE, hardware=hardware)).iterfind("disk/target")]
    assert names == ["sda", "sdb", "vda", "sdc"]


def test_nothing_refers_to_the_host_but_the_volumes_and_its_entropy() -> None:
    xml = domainxml.build(MACHINE)
    paths = {value for node in etree.fromstring(xml.encode()).iter() for value in node.attrib.values()}
    assert {path for path in paths if path.startswith("/")} == {
        f"{POOL}/{name}" for name in ("disk.qcow2", "base.qcow2", "home.qcow2", "layer.iso", "seed.iso")
    }


def test_vnc_is_never_on_a_tcp_port() -> None:
    graphics = devices(MACHINE).find("graphics")
    assert graphics is not None
    assert graphics.get("port") is None
    assert [node.get("type") for node in graphics.iterfind("listen")] == ["socket"]


def test_the_interface_is_filtered_to_its_address_and_isolated() -> None:
    interface = devices(MACHINE).find("interface")
    assert interface is not None
    values = {node.get("name"): node.get("value") for node in interface.iterfind("filterref/parameter")}
    assert values == {"IP": "10.80.0.16", "MAC": "52:54:00:50:00:10"}
    assert interface.find("port[@isolated='yes']") is not None


@pytest.mark.parametrize(
    "hardware",
    [
        Hardware(firmware="coreboot"),
        Hardware(machine_type="microvm"),
        Hardware(disk_bus="ide"),
        Hardware(seed_bus="virtio"),
        Hardware(nic_model="ne2k_pci"),
    ],
)
def test_unknown_hardware_is_refused_with_a_sentence(hardware: Hardware) -> None:
    with pytest.raises(Invalid) as refused:
        domainxml.build(replace(MACHINE, hardware=hardware))
    assert refused.value.detail.endswith(".")


def test_a_title_has_no_line_breaks() -> None:
    assert domainxml.title("two\nlines\x00 \x1b[31m") == "two lines [31m"


# --- metadata ---

TEXTS = st.text(max_size=60)


@given(owner=TEXTS, server_name=TEXTS, notebook=st.booleans(), port=st.none() | st.integers(1, 65535))
def test_metadata_comes_back_whatever_people_type(
    owner: str, server_name: str, notebook: bool, port: int | None
) -> None:
    given_ = MachineMetadata("hub", "m-1", owner, server_name, notebook=notebook, port=port)
    back = metadata.parse(domainxml.build(replace(MACHINE, metadata=given_)))
    assert back is not None
    # Attributes keep any text that XML can carry at all.
    assert back == replace(
        given_, owner=metadata.printable(owner), server_name=metadata.printable(server_name)
    )


@pytest.mark.parametrize(
    "xml", ["", "<domain/>", "<domain", "<machine/>", '<!DOCTYPE a [<!ENTITY b "c">]><machine hub="&b;"/>']
)
def test_what_is_not_ours_has_no_metadata(xml: str) -> None:
    assert metadata.parse(xml) is None


# --- networks ---


def test_every_machine_of_a_network_has_an_address_and_a_mac_of_its_own() -> None:
    indices = range(NETWORK.hosts)
    addresses = {NETWORK.address(index) for index in indices}
    assert len(addresses) == len({NETWORK.mac(index) for index in indices}) == 4000
    assert addresses <= set(NETWORK.cidr.hosts())
    assert NETWORK.gateway not in addresses
    assert (str(NETWORK.address(0)), NETWORK.mac(0)) == ("10.80.0.16", "52:54:00:50:00:10")


@pytest.mark.parametrize("index", [-1, 4000])
def test_there_is_no_entry_outside_the_network(index: int) -> None:
    with pytest.raises(Invalid):
        NETWORK.address(index)


def test_a_network_with_too_many_entries_for_its_subnet() -> None:
    with pytest.raises(Invalid, match="room for 239 machines"):
        NetworkSpec("n", "b", IPv4Network("10.0.0.0/24"), hosts=240)


def test_a_network_is_the_same_or_not() -> None:
    xml = networkxml.build(NETWORK)
    assert networkxml.same(xml, NETWORK)
    for other in (
        replace(NETWORK, bridge="other0"),
        replace(NETWORK, hosts=3999),
        replace(NETWORK, cidr=IPv4Network("10.81.0.0/20")),
        replace(NETWORK, cidr=IPv4Network("10.80.0.0/19")),
    ):
        assert not networkxml.same(xml, other)
    assert not networkxml.same("<network><name>n</name></network>", NETWORK)


def test_a_network_on_the_hosts_own_bridge_has_nothing_of_ours() -> None:
    spec = replace(NETWORK, bridged=True)
    xml = networkxml.build(spec, uuid="6d3b8d0e-7a0c-4a5e-9d8c-0f0f0f0f0f0f")
    root = etree.fromstring(xml)
    assert [child.tag for child in root] == ["name", "uuid", "forward", "bridge"]
    assert networkxml.same(xml, spec)
    assert not networkxml.same(xml, replace(spec, bridge="another"))
    assert not networkxml.same(xml, NETWORK)
    assert not networkxml.same(networkxml.build(NETWORK), spec)


# --- filters ---


def test_a_filter_is_the_same_or_not() -> None:
    xml = filterxml.build(FILTER, uuid="0e6f6b0c-5f0e-5a38-9b46-0b1e7a6c3f51")
    assert filterxml.same(xml, FILTER)
    assert not filterxml.same(xml, replace(FILTER, host_ports=(8002,)))
    assert not filterxml.same(xml, replace(FILTER, blocked=()))


@pytest.mark.parametrize("address", ["192.0.2.1/24", "::1", "here"])
def test_a_filter_takes_ipv4_addresses_only(address: str) -> None:
    with pytest.raises(ValueError, match=address.partition("/")[0]):
        filterxml.build(replace(FILTER, blocked=(address,)))


# --- volumes ---


def test_an_overlay_names_the_format_of_its_base() -> None:
    xml = storagexml.volume("disk", capacity=1, image_format="qcow2", backing=("/p/base", "raw"))
    backing = etree.fromstring(xml.encode()).find("backingStore")
    assert backing is not None
    assert backing.findtext("path") == "/p/base"
    assert backing.find("format[@type='raw']") is not None
