"""Whether KVM really runs a guest on a host.

Some clouds show a ``/dev/kvm`` that opens, creates a virtual machine, satisfies libvirt's checks and still
never runs a 64-bit kernel. So a small guest is booted: only a kernel that speaks on the serial console is
proof.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import libvirt

from cernvmapi.errors import CernVMError, HostUnreachable
from cernvmcontroller.hypervisor import domainparts as parts
from cernvmcontroller.hypervisor.elements import E
from cernvmcontroller.hypervisor.specs import VolumeRef
from cernvmcontroller.hypervisor.storage import PROBE
from cernvmcontroller.hypervisor.streams import open_console

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmcontroller.hypervisor.connection import Connection
    from cernvmcontroller.hypervisor.interface import VolumeState
    from cernvmcontroller.hypervisor.storage import Storage

log = logging.getLogger(__name__)

KERNEL_SPEAKS = re.compile(rb"\[ +\d+\.\d{6}\] |Linux version \d")
"""A time stamp of the kernel's log; boot loaders write none."""

_MEMORY_MIB = 192


async def accelerates(
    connection: Connection, storage: Storage, image: Path, pool: str, *, domain_type: str, patience: float
) -> bool:
    """Boot `image` and say whether its kernel speaks.

    Parameters
    ----------
    domain_type
        ``kvm``; a test says ``qemu`` to see that the guest itself is fine.
    patience
        Seconds from power on.
    """
    name = f"{PROBE}{uuid4()}"
    base = await storage.upload_volume(pool, f"{name}-base.qcow2", image, image_format="qcow2", progress=None)
    overlay = f"{name}.qcow2"
    try:
        disk = await storage.create_volume(
            pool, overlay, capacity=base.capacity, image_format="qcow2", backing=base, backing_format="qcow2"
        )
        return await _speaks(connection, domain_xml(name, disk, base, domain_type), patience)
    except HostUnreachable:
        raise
    except CernVMError as error:
        log.info("no guest runs as %s on %s: %s", domain_type, connection.name, error)
        return False
    finally:
        await storage.delete_volume(pool, overlay)
        await storage.delete_volume(pool, base.name)


def domain_xml(name: str, disk: VolumeState, base: VolumeState, domain_type: str) -> str:
    """Return the XML of the probe's domain: a disk and a serial console, nothing else."""
    volume = VolumeRef(disk.path, "qcow2", ((base.path, "qcow2"),))
    return parts.to_text(
        E.domain(
            E.name(name),
            E.memory(str(_MEMORY_MIB), unit="MiB"),
            E.vcpu("1"),
            parts.operating_system("x86_64", "q35", "bios"),
            E.features(E.acpi(), E.apic()),
            parts.cpu(domain_type),
            E.on_reboot("destroy"),
            E.on_crash("destroy"),
            E.devices(
                parts.Disk(volume, "vda", "virtio", "root", boot=True).element(),
                E.controller(type="usb", index="0", model="none"),
                *parts.serial_console(),
                E.memballoon(model="none"),
            ),
            type=domain_type,
        )
    )


async def _speaks(connection: Connection, xml: str, patience: float) -> bool:
    # Paused until the console is open, so that no word is missed; gone by itself if this program goes.
    flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
    uuid: str = await connection.call(lambda c: c.createXML(xml, flags).UUIDString())
    try:
        console = await open_console(connection, uuid)
        try:
            await connection.call(lambda c: c.lookupByUUIDString(uuid).resume())
            async with asyncio.timeout(patience):
                return await _hears_kernel(console)
        except TimeoutError:
            return False
        finally:
            await console.close()
    finally:
        await connection.call(lambda c: _end(c, uuid))


async def _hears_kernel(console: Any) -> bool:
    heard = b""
    while data := await console.read():
        heard = (heard + data)[-65536:]
        if KERNEL_SPEAKS.search(heard):
            return True
    return False


def _end(connection: Any, uuid: str) -> None:
    try:
        connection.lookupByUUIDString(uuid).destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
