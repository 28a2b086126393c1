"""The parts of a domain's XML, one class or function an element, with the reasons for their settings.

Sources: libvirt's formatdomain page for the elements; for the choices what virt-install, Nova and Proxmox do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from cernvmcontroller.hypervisor.elements import E

if TYPE_CHECKING:
    from lxml.etree import _Element

    from cernvmcontroller.hypervisor.bandwidth import Bandwidth
    from cernvmcontroller.hypervisor.specs import Format, VolumeRef

_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}


class Targets:
    """Hands out disk names (``vda``, ``sda``, …); SCSI and SATA disks share theirs."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def take(self, bus: str) -> str:
        """Return the next free name on `bus`."""
        prefix = _PREFIX[bus]
        index = self._next.get(prefix, 0)
        self._next[prefix] = index + 1
        return f"{prefix}{chr(ord('a') + index)}"


@dataclass(frozen=True)
class Disk:
    """A disk on a volume.

    Its image format and its whole backing chain are written out: QEMU never has to guess from bytes that a
    guest could have written. Freed blocks are given back to the pool. The host's page cache is used, so that
    the base which many machines share is read from the storage once; guests' flushes reach the storage.
    """

    volume: VolumeRef
    target: str
    bus: str
    serial: str
    readonly: bool = False
    boot: bool = False
    iothread: bool = False

    def element(self) -> _Element:
        """Return the ``<disk>`` element."""
        driver = {"name": "qemu", "type": self.volume.format, "cache": "writeback"}
        if not self.readonly:
            driver |= {"discard": "unmap", "detect_zeroes": "unmap"}
        if self.iothread:
            driver["iothread"] = "1"
        node = E.disk(
            E.driver(driver),
            E.source(file=self.volume.path),
            backing_chain(self.volume.backing),
            E.target(dev=self.target, bus=self.bus),
            type="file",
            device="disk",
        )
        if self.readonly:
            node.append(E.readonly())
        node.append(E.serial(self.serial))
        if self.boot:
            node.append(E.boot(order="1"))
        return node


def backing_chain(images: tuple[tuple[str, Format], ...]) -> _Element:
    """Return nested ``<backingStore>`` elements; the empty one at the end says that there is no more."""
    if not images:
        return E.backingStore()
    (path, image_format), *rest = images
    return E.backingStore(
        E.format(type=image_format), E.source(file=path), backing_chain(tuple(rest)), type="file"
    )


def cdrom(path: str, target: str, bus: str) -> _Element:
    """Return a read-only CD-ROM with an ISO image.

    On virtio-scsi by default: Debian's cloud kernel has no AHCI driver and does not see one on SATA.
    """
    return E.disk(
        E.driver(name="qemu", type="raw"),
        E.source(file=path),
        E.backingStore(),
        E.target(dev=target, bus=bus),
        E.readonly(),
        type="file",
        device="cdrom",
    )


def interface(
    *,
    network: str,
    mac: str,
    model: str,
    address: str,
    filter_name: str,
    queues: int | None,
    bandwidth: Bandwidth,
) -> _Element:
    """Return the network interface: filtered to its one address, and isolated from its neighbours."""
    node = E.interface(
        E.mac(address=mac),
        E.source(network=network),
        E.model(type=model),
        # No network boot: the option ROM only costs time.
        E.rom(enabled="no"),
        # With the address given nothing is learned from what the guest sends first.
        E.filterref(
            E.parameter(name="IP", value=address), E.parameter(name="MAC", value=mac), filter=filter_name
        ),
        E.port(isolated="yes"),
        type="network",
    )
    if queues is not None:
        node.insert(3, E.driver(queues=str(queues)))
    if len(limits := bandwidth.element()):
        node.append(limits)
    return node


def channel(name: str) -> _Element:
    """Return a virtio-serial port; libvirt puts its socket where only it can reach."""
    return E.channel(E.target(type="virtio", name=name), type="unix")


def serial_console() -> list[_Element]:
    """Return the serial port and its console: libvirt relays the pty as a stream, on remote hosts too."""
    return [
        E.serial(E.target(type="isa-serial", port="0"), type="pty"),
        E.console(E.target(type="serial", port="0"), type="pty"),
    ]


def graphics() -> list[_Element]:
    """Return VNC on a unix socket (never a TCP port), its video card and its keyboard and pointer."""
    return [
        E.input(type="tablet", bus="virtio"),
        E.input(type="keyboard", bus="virtio"),
        E.graphics(E.listen(type="socket"), type="vnc", sharePolicy="allow-exclusive"),
        E.video(E.model(type="virtio")),
    ]


def watchdog() -> _Element:
    """Return a watchdog card; it does nothing until the guest arms it."""
    return E.watchdog(model="i6300esb", action="reset")


def balloon() -> _Element:
    """Return a balloon that reports statistics, gives free pages back and yields to a guest in need."""
    return E.memballoon(E.stats(period="10"), model="virtio", autodeflate="on", freePageReporting="on")


def random() -> _Element:
    """Return an entropy source, limited so that one guest cannot drain the host's."""
    return E.rng(
        E.rate(bytes="1024", period="1000"), E.backend("/dev/urandom", model="random"), model="virtio"
    )


def panic() -> _Element:
    """Return the device by which a guest kernel's panic becomes a crashed domain."""
    return E.panic(model="isa")


def vsock() -> _Element:
    """Return a vsock device with a number that libvirt chooses."""
    return E.vsock(E.cid(auto="yes"), model="virtio")


def cpu(domain_type: str) -> _Element:
    """Return the CPU model.

    Under KVM the host's, as far as libvirt knows it by name, so that hosts can be compared before a
    migration. Emulated all that QEMU can do, except five-level page tables: they only make every TLB miss of
    the emulation longer.
    """
    if domain_type == "kvm":
        return E.cpu(mode="host-model", check="partial")
    return E.cpu(E.feature(policy="disable", name="la57"), mode="maximum", check="none")


def operating_system(arch: str, machine_type: str, firmware: str) -> _Element:
    """Return the firmware part: BIOS, or UEFI without secure boot (nothing of ours is signed for it)."""
    kind = E.type("hvm", arch=arch, machine=machine_type)
    if firmware == "uefi":
        return E.os(kind, E.firmware(E.feature(enabled="no", name="secure-boot")), firmware="efi")
    return E.os(kind, E.bootmenu(enable="no"))


def clock() -> _Element:
    """Return the clock as libvirt's and virt-install's authors advise for Linux guests."""
    return E.clock(
        E.timer(name="rtc", tickpolicy="catchup"),
        E.timer(name="pit", tickpolicy="delay"),
        E.timer(name="hpet", present="no"),
        offset="utc",
    )


def to_text(node: _Element) -> str:
    """Return the element as indented text."""
    etree.indent(node)
    return etree.tostring(node, encoding="unicode")
