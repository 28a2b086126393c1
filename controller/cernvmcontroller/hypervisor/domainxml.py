"""The XML of a machine's domain, composed of typed parts."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, get_args
from uuid import UUID

from cernvmapi.errors import Invalid
from cernvmcontroller.hypervisor import domainparts as parts
from cernvmcontroller.hypervisor import metadata
from cernvmcontroller.hypervisor.elements import E
from cernvmcontroller.hypervisor.interface import AGENT_CHANNEL, GUEST_AGENT_CHANNEL
from cernvmcontroller.hypervisor.specs import DomainSpec, Format, VolumeRef

if TYPE_CHECKING:
    from lxml.etree import _Element

_FIRMWARE = ("bios", "uefi")
_MACHINE_TYPES = ("q35", "pc")
_DISK_BUSES = ("virtio", "scsi", "sata")
_NIC_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
_DOMAIN_TYPES = ("kvm", "qemu")
_QUEUES = 4


def build(spec: DomainSpec) -> str:
    """Return the XML of a domain.

    Raises
    ------
    Invalid
        The appliance asks for hardware that machines here do not have.
    """
    _check(spec)
    hardware = spec.hardware
    domain = E.domain(
        E.name(spec.name),
        E.uuid(str(UUID(spec.uuid))),
        E.title(title(spec.title)),
        E.metadata(metadata.element(spec.metadata)),
        # A QEMU that crashes takes what its guest knows with it: none of it is written to a core dump.
        E.memory(str(spec.memory_mib), unit="MiB", dumpCore="off"),
        E.currentMemory(str(spec.memory_mib), unit="MiB"),
        E.vcpu(str(spec.vcpus), placement="static"),
        E.iothreads("1"),
        parts.operating_system(hardware.arch, hardware.machine_type, hardware.firmware),
        E.features(E.acpi(), E.apic(), E.vmport(state="off")),
        parts.cpu(spec.domain_type),
        parts.clock(),
        E.on_poweroff("destroy"),
        E.on_reboot("restart"),
        E.on_crash("destroy"),
        # A guest that suspends itself would look as if it ran.
        E.pm(E("suspend-to-mem", enabled="no"), E("suspend-to-disk", enabled="no")),
        _devices(spec),
        type=spec.domain_type,
    )
    return parts.to_text(domain)


def title(text: str) -> str:
    """Return `text` as a title: libvirt refuses line breaks, XML most control characters."""
    return " ".join(metadata.printable(text).split())[:200]


def _devices(spec: DomainSpec) -> _Element:
    hardware = spec.hardware
    devices = E.devices()
    disks = _disks(spec)
    devices.extend(disks)
    if devices.find("disk/target[@bus='scsi']") is not None:
        devices.append(E.controller(type="scsi", index="0", model="virtio-scsi"))
    devices.append(E.controller(type="virtio-serial", index="0"))
    # Nothing here is on USB, and firmware and kernel would wait for its ports.
    devices.append(E.controller(type="usb", index="0", model="none"))
    devices.append(
        parts.interface(
            network=spec.network,
            mac=spec.mac,
            model=hardware.nic_model,
            address=spec.address,
            filter_name=spec.filter,
            queues=_queues(spec),
            bandwidth=spec.bandwidth,
        )
    )
    devices.extend(parts.serial_console())
    devices.append(parts.channel(AGENT_CHANNEL))
    devices.append(parts.channel(GUEST_AGENT_CHANNEL))
    devices.extend(parts.graphics())
    devices.append(parts.watchdog())
    devices.append(parts.balloon())
    devices.append(parts.random())
    if spec.vsock:
        devices.append(parts.vsock())
    devices.append(parts.panic())
    return devices


def _disks(spec: DomainSpec) -> list[_Element]:
    hardware = spec.hardware
    bus = hardware.disk_bus
    targets = parts.Targets()
    disks = [
        parts.Disk(spec.root, targets.take(bus), bus, "root", boot=True, iothread=bus == "virtio").element()
    ]
    if spec.home is not None:
        disks.append(
            parts.Disk(spec.home, targets.take(bus), bus, "home", iothread=bus == "virtio").element()
        )
    if spec.layer is not None:
        # On virtio whatever the others are on: it is for our agent, whose channel is virtio too.
        layer = VolumeRef(spec.layer, "raw")
        disks.append(parts.Disk(layer, targets.take("virtio"), "virtio", "layer", readonly=True).element())
    if spec.seed is not None:
        disks.append(parts.cdrom(spec.seed, targets.take(hardware.seed_bus), hardware.seed_bus))
    return disks


def _queues(spec: DomainSpec) -> int | None:
    """Return how many queues the interface has: one a vCPU, where vhost serves them (under KVM)."""
    if spec.domain_type != "kvm" or spec.hardware.nic_model != "virtio" or spec.vcpus == 1:
        return None
    return min(spec.vcpus, _QUEUES)


def _check(spec: DomainSpec) -> None:
    hardware = spec.hardware
    formats = [spec.root.format, *(image_format for _, image_format in spec.root.backing)]
    for what, value, known in (
        ("firmware", hardware.firmware, _FIRMWARE),
        ("machine type", hardware.machine_type, _MACHINE_TYPES),
        ("disk bus", hardware.disk_bus, _DISK_BUSES),
        ("context bus", hardware.seed_bus, _DISK_BUSES),
        ("network card", hardware.nic_model, _NIC_MODELS),
        ("domain type", spec.domain_type, _DOMAIN_TYPES),
        *(("image format", image_format, get_args(Format)) for image_format in formats),
    ):
        if value not in known:
            raise Invalid(f"Machines cannot have the {what} {value!r}; known are {', '.join(known)}.")
    if hardware.seed_bus == "virtio":
        raise Invalid("A CD-ROM cannot be on virtio; the context's bus is scsi or sata.")
    IPv4Address(spec.address)
