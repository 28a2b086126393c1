"""What only a real daemon can show: accepted documents, the speed of a definition, the acceleration probe."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import libvirt
import pytest
from tests.unit.hypervisor.bench import Bench, bench, read_until, tiny_image
from tests.unit.hypervisor.test_xml import MACHINE

from cernvmapi.errors import Conflict, HypervisorFailed, Invalid
from cernvmapi.models import Hardware
from cernvmcontroller.hypervisor import domainxml, probe
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from cernvmcontroller.hypervisor.specs import VolumeRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.machines


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("qemu", tmp_path) as made:
        await made.surroundings()
        yield made


@pytest.mark.parametrize(
    "hardware",
    [
        Hardware(),
        Hardware(machine_type="pc"),
        Hardware(disk_bus="scsi"),
        Hardware(disk_bus="sata", seed_bus="sata", nic_model="e1000"),
    ],
    ids=["default", "pc", "scsi", "sata"],
)
@pytest.mark.parametrize("domain_type", ["qemu", "kvm"])
async def test_libvirt_accepts_the_hardware_that_appliances_ask_for(
    site: Bench, hardware: Hardware, domain_type: str
) -> None:
    spec = site.spec(
        hardware=hardware,
        domain_type=domain_type,
        vcpus=2,
        vsock=True,
        root=MACHINE.root,
        seed=MACHINE.seed,
        home=MACHINE.home,
        layer=MACHINE.layer,
    )
    await site.hypervisor.define(domainxml.build(spec))


async def test_a_document_outside_the_schema_is_refused(site: Bench) -> None:
    xml = (
        domainxml.build(site.spec()).replace("<iothreads>", "<threads>").replace("</iothreads>", "</threads>")
    )
    with pytest.raises(HypervisorFailed):
        await site.hypervisor.define(xml)


async def test_a_definition_is_quick(site: Bench) -> None:
    await site.defined()
    began = time.monotonic()
    for _ in range(10):
        await site.defined()
    assert (time.monotonic() - began) / 10 < 0.1


async def test_a_qemu_that_crashes_writes_nothing_of_its_guests_memory(site: Bench) -> None:
    spec = await site.defined()
    await site.hypervisor.start(spec.uuid)
    connection = libvirt.open("qemu:///system")
    xml = connection.lookupByUUIDString(spec.uuid).XMLDesc()
    arguments = connection.domainXMLToNative("qemu-argv", xml)
    connection.close()
    assert "dumpCore='off'" in xml
    assert "dump-guest-core=off" in arguments


async def test_a_network_is_remade_only_while_nobody_uses_it(site: Bench) -> None:
    await site.hypervisor.ensure_network(replace(site.network, hosts=21))
    spec = await site.defined()
    await site.hypervisor.start(spec.uuid)
    await site.hypervisor.ensure_network(replace(site.network, hosts=21))
    with pytest.raises(WrongState, match="machines use it"):
        await site.hypervisor.ensure_network(site.network)


async def test_a_pool_elsewhere_is_not_taken_for_ours(site: Bench) -> None:
    with pytest.raises(Conflict):
        await site.hypervisor.ensure_pool(replace(site.pool, path=f"{site.pool.path}-other"))


async def test_what_stopped_while_nobody_looked_is_made_active_again(site: Bench) -> None:
    connection = libvirt.open("qemu:///system")
    connection.storagePoolLookupByName(site.pool.name).destroy()
    connection.networkLookupByName(site.network.name).destroy()
    connection.close()
    await site.surroundings()
    spec = await site.defined()
    await site.hypervisor.start(spec.uuid)


async def test_an_image_that_refers_to_a_file_of_the_host_is_refused(site: Bench) -> None:
    image = b"QFI\xfb" + (3).to_bytes(4) + (104).to_bytes(8) + bytes(96) + b"/etc/shadow"
    with pytest.raises(Invalid):
        await site.hypervisor.upload_volume(site.pool.name, "base-evil.qcow2", image, format="qcow2")
    assert await site.hypervisor.volume(site.pool.name, "base-evil.qcow2") is None


async def test_an_upload_that_a_killed_program_left_is_begun_again(site: Bench) -> None:
    hypervisor, pool = site.hypervisor, site.pool.name
    await hypervisor.create_volume(pool, "seed-x.iso.part", capacity=0, format="raw")
    await hypervisor.create_volume(pool, "seed-x.iso", capacity=4, format="raw")
    assert await hypervisor.volume(pool, "seed-x.iso") is None
    await hypervisor.upload_volume(pool, "seed-x.iso", b"whole", format="raw")
    assert await hypervisor.read_volume(pool, "seed-x.iso", 100) == b"whole"


async def test_a_guest_gets_its_address_and_long_messages(site: Bench) -> None:
    hypervisor, pool = site.hypervisor, site.pool.name
    base = await hypervisor.upload_volume(pool, "base-tiny.qcow2", tiny_image(), format="qcow2")
    disk = await hypervisor.create_volume(pool, "disk-m.qcow2", capacity=64 << 20, backing=base)
    spec = await site.defined(root=VolumeRef(disk.path, "qcow2", ((base.path, "qcow2"),)))
    await hypervisor.start(spec.uuid)
    console = await hypervisor.open_console(spec.uuid)
    channel = await hypervisor.open_channel(spec.uuid)
    address = f"CERNVMHUB-TINY-ADDRESS {spec.address}".encode()
    assert address in await read_until(console, address)
    await console.close()
    # A message far larger than the buffers on its way.
    await read_until(channel, b"hello")
    await channel.write(b'{"type":"clock","id":7,"padding":"%s"}\n' % (b"x" * 100_000))
    assert b'"id":7,"ok":true' in await read_until(channel, b'"id":7')
    await channel.close()
    assert await channel.read() == b""


async def test_the_probe_believes_only_a_kernel_that_speaks(site: Bench) -> None:
    hypervisor = site.hypervisor
    assert isinstance(hypervisor, LibvirtHypervisor)
    image = tiny_image()
    connection, storage = hypervisor._connection, hypervisor._storage
    assert await probe.accelerates(
        connection, storage, image, site.pool.name, domain_type="qemu", patience=60
    ), "the guest itself is fine"
    found = await hypervisor.probe_acceleration(image, site.pool.name)
    assert found in {"kvm", "qemu"}
    runs = await probe.accelerates(connection, storage, image, site.pool.name, domain_type="kvm", patience=15)
    assert found == ("kvm" if runs else "qemu")
    assert [each.name for each in await hypervisor.volumes(site.pool.name)] == ["blank.qcow2"]


async def test_without_an_image_there_is_no_proof(site: Bench) -> None:
    assert await site.hypervisor.probe_acceleration(None, site.pool.name) == "qemu"
