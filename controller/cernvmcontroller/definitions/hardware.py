"""Hardware in a machine's definition: read from it and changed in it, by pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Conflict, NotFound
from cernvmapi.hardware import Disk, Hardware, Interface
from cernvmcontroller.definitions import document
from cernvmcontroller.hypervisor.elements import E
from cernvmcontroller.hypervisor.offers import DomainKind

if TYPE_CHECKING:
    from lxml.etree import _Element

    from cernvmapi.hardware import DiskChange, HardwareChange, InterfaceChange
    from cernvmcontroller.hypervisor.offers import Offers

_WATCHDOG = "i6300esb"
_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd"}
_HIGHEST = "abcdefghijklmnopqrstuvwxyz"


def read(machine: str, defined: str, running: str | None, offers: Offers) -> Hardware:
    """Return what a definition says, and what of it is different in what runs.

    Parameters
    ----------
    machine
        Its id.
    defined, running
        XML; None where nothing runs.
    offers
        Of its host.
    """
    root = document.read(defined)
    watchdog = root.find("devices/watchdog")
    return Hardware(
        machine=machine,
        firmware=_firmware(root),
        disks=[_disk(node) for node in root.iterfind("devices/disk")],
        interfaces=[_interface(node) for node in root.iterfind("devices/interface")],
        watchdog=watchdog.get("action", "reset") if watchdog is not None else None,
        tpm=root.find("devices/tpm") is not None,
        devices=[_device(node) for node in root.iterfind("devices/hostdev")],
        offered=[name for name, there in (("uefi", offers.uefi), ("tpm", offers.tpm)) if there],
        pending=_different(root, document.read(running)) if running is not None else [],
    )


def kind(xml: str) -> DomainKind:
    """Return what a host's offers to a machine depend on."""
    root = document.read(xml)
    system = _child(_child(root, "os"), "type")
    return DomainKind(system.get("arch", ""), system.get("machine", ""), root.get("type", ""))


def refuse(wanted: HardwareChange, offers: Offers) -> None:
    """Refuse what the machine's host does not have: libvirt would say so when the machine is started.

    Raises
    ------
    Conflict
        It has none.
    """
    if wanted.firmware == "uefi" and not offers.uefi:
        raise Conflict("The machine's host has no UEFI firmware: install it there (Debian: ovmf).")
    if wanted.tpm and not offers.tpm:
        raise Conflict("The machine's host has no emulator of a TPM: install it there (Debian: swtpm).")


def changed(xml: str, wanted: HardwareChange) -> str:
    """Return a definition with the hardware that is wanted.

    Raises
    ------
    NotFound
        There is no such disk or interface.
    Conflict
        It is not possible with what the machine has.
    """
    root = document.read(xml)
    for disk in wanted.disks:
        _change_disk(root, disk)
    for interface in wanted.interfaces:
        _change_interface(root, interface)
    if wanted.firmware is not None and wanted.firmware != _firmware(root):
        _change_firmware(root, wanted.firmware)
    if wanted.boot is not None:
        _change_boot(root, wanted.boot)
    devices = _devices(root)
    if wanted.watchdog is not None:
        _remove(devices, "watchdog")
        if wanted.watchdog != "none":
            devices.append(E.watchdog(model=_WATCHDOG, action=wanted.watchdog))
    if wanted.tpm is not None:
        _remove(devices, "tpm")
        if wanted.tpm:
            devices.append(E.tpm(E.backend(type="emulator", version="2.0"), model="tpm-crb"))
    return document.text(root)


def plugged(running: str, change: InterfaceChange) -> str | None:
    """Return the XML of a running machine's interface with its cable in or out; None where it is so.

    Raises
    ------
    NotFound
        What runs has no such interface.
    """
    node = _interface_of(document.read(running), change.mac)
    if change.link is None or _linked(node) is change.link:
        return None
    _plug(node, linked=change.link)
    return document.text(node)


def _disk(node: _Element) -> Disk:
    target, driver = _child(node, "target"), _child(node, "driver")
    key = document.disk_key(node) or ""
    seed = key.startswith("cdrom ")
    return Disk(
        target=target.get("dev", ""),
        what="seed" if seed else key or "other",
        bus=target.get("bus", ""),
        cache=driver.get("cache", "default"),
        readonly=node.find("readonly") is not None,
        boot=_order(node),
    )


def _interface(node: _Element) -> Interface:
    return Interface(
        mac=_child(node, "mac").get("address", ""),
        network=_child(node, "source").get("network"),
        model=_child(node, "model").get("type", ""),
        link=_linked(node),
        boot=_order(node),
    )


def _device(node: _Element) -> str:
    address = node.find("source/address")
    where = (
        " ".join(f"{name!s}={value!s}" for name, value in address.attrib.items())
        if address is not None
        else ""
    )
    return f"{node.get('type', 'device')} {where}".strip()


def _firmware(root: _Element) -> str:
    system = _child(root, "os")
    loader = system.find("loader")
    flash = loader is not None and loader.get("type") == "pflash"
    return "uefi" if system.get("firmware") == "efi" or flash else "bios"


def _different(defined: _Element, running: _Element) -> list[str]:
    found = []
    for what, nodes, now in (
        ("disk", _by_target(defined), _by_target(running)),
        ("interface", document.interfaces(defined), document.interfaces(running)),
    ):
        make = _disk if what == "disk" else _interface
        names = sorted(nodes.keys() | now.keys())
        found += [
            f"{what} {name}"
            for name in names
            if name not in nodes or name not in now or make(nodes[name]) != make(now[name])
        ]
    for name in ("watchdog", "tpm"):
        if _attributes(defined, name) != _attributes(running, name):
            found.append(name)
    if _firmware(defined) != _firmware(running):
        found.append("firmware")
    return found


def _attributes(root: _Element, tag: str) -> list[dict[str, str]]:
    return [
        {str(name): str(value) for name, value in node.attrib.items()}
        for node in root.iterfind(f"devices/{tag}")
    ]


def _change_disk(root: _Element, wanted: DiskChange) -> None:
    node = _by_target(root).get(wanted.target)
    if node is None:
        raise NotFound(f"The machine has no disk {wanted.target}.")
    driver, target = _child(node, "driver"), _child(node, "target")
    if wanted.cache is not None:
        driver.set("cache", wanted.cache)
    if wanted.bus is None or wanted.bus == target.get("bus"):
        return
    if document.disk_key(node) == "layer":
        raise Conflict("The hub's software is on virtio, as the channel is by which it is spoken to.")
    target.set("bus", wanted.bus)
    target.set("dev", _free(root, _PREFIX[wanted.bus], node))
    _remove(node, "address")
    if wanted.bus == "virtio":
        return
    for name in ("iothread", "queues"):
        if name in driver.attrib:
            del driver.attrib[name]
    if wanted.bus == "scsi" and root.find("devices/controller[@type='scsi']") is None:
        _devices(root).append(E.controller(type="scsi", index="0", model="virtio-scsi"))


def _change_interface(root: _Element, wanted: InterfaceChange) -> None:
    node = _interface_of(root, wanted.mac)
    if wanted.model is not None and wanted.model != _child(node, "model").get("type"):
        _child(node, "model").set("type", wanted.model)
        _remove(node, "address")
        if wanted.model != "virtio":
            _remove(node, "driver")  # queues are virtio's
    if wanted.link is not None:
        _plug(node, linked=wanted.link)


def _interface_of(root: _Element, mac: str) -> _Element:
    node = document.interfaces(root).get(mac)
    if node is None:
        raise NotFound(f"The machine has no interface with the address {mac}.")
    return node


def _change_firmware(root: _Element, firmware: str) -> None:
    """Let libvirt choose the files: those of the other kind, and what it keeps in them, are gone."""
    system = _child(root, "os")
    for tag in ("loader", "nvram", "firmware"):
        _remove(system, tag)
    if firmware == "uefi":
        system.set("firmware", "efi")
        system.append(E.firmware(E.feature(enabled="no", name="secure-boot")))
    elif "firmware" in system.attrib:
        del system.attrib["firmware"]


def _change_boot(root: _Element, order: list[str]) -> None:
    bootable = {**_by_target(root), **document.interfaces(root)}
    for name in order:
        if name not in bootable:
            raise NotFound(f"The machine has neither a disk nor an interface {name} to boot from.")
    if len(set(order)) != len(order):
        raise Conflict("Something stands twice in the order in which to boot.")
    for node in bootable.values():
        _remove(node, "boot")
    for old in root.findall("os/boot"):
        _child(root, "os").remove(old)
    for place, name in enumerate(order, 1):
        bootable[name].append(E.boot(order=str(place)))


def _linked(node: _Element) -> bool:
    link = node.find("link")
    return link is None or link.get("state") != "down"


def _plug(node: _Element, *, linked: bool) -> None:
    _remove(node, "link")
    if not linked:
        node.append(E.link(state="down"))


def _order(node: _Element) -> int | None:
    boot = node.find("boot")
    order = boot.get("order", "") if boot is not None else ""
    return int(order) if order.isdigit() else None


def _by_target(root: _Element) -> dict[str, _Element]:
    return {_child(node, "target").get("dev", ""): node for node in root.iterfind("devices/disk")}


def _free(root: _Element, prefix: str, mine: _Element) -> str:
    taken = {name for name, node in _by_target(root).items() if node is not mine}
    return next(prefix + letter for letter in _HIGHEST if prefix + letter not in taken)


def _devices(root: _Element) -> _Element:
    return _child(root, "devices")


def _child(node: _Element, tag: str) -> _Element:
    """Return a child, made where there is none."""
    there = node.find(tag)
    if there is None:
        there = node.makeelement(tag)
        node.append(there)
    return there


def _remove(node: _Element, tag: str) -> None:
    for old in node.findall(tag):
        node.remove(old)
