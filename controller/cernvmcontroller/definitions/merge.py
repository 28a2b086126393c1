"""What the hub decides in a machine's definition, whoever wrote the rest: a pure function.

An administrator's definition stays what it is over starts, moves and new versions of the hub. What it says of
the machine's name, size, place and isolation does not count: that comes from what the hub composes for each
start. Elements that are unknown here are left alone.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from cernvmcontroller.definitions import document
from cernvmcontroller.hypervisor import metadata

if TYPE_CHECKING:
    from lxml.etree import _Element

_WHOLE = ("name", "uuid", "title")
_NUMBERS = ("memory", "currentMemory", "vcpu")
_DISK = ("source", "backingStore", "readonly")
_INTERFACE = ("mac", "source", "filterref", "port", "bandwidth")
_PLACED = "abcdefghijklmnopqrstuvwxyz"


def merged(own: str, composed: str) -> str:
    """Return an administrator's definition with all that the hub decides as it has composed it.

    Parameters
    ----------
    own
        The administrator's XML.
    composed
        The hub's own XML for the same machine.
    """
    mine, hubs = document.read(own), document.read(composed)
    for tag in _WHOLE:
        _replace(mine, hubs, tag)
    _size(mine, hubs)
    _processor(mine, hubs)
    _metadata(mine, hubs)
    devices = mine.find("devices")
    if devices is None:
        devices = deepcopy(hubs.find("devices"))
        assert devices is not None
        mine.append(devices)
    _disks(mine, hubs, devices)
    _interfaces(mine, hubs, devices)
    for name, channel in document.channels(hubs).items():
        if name not in document.channels(mine):
            devices.append(_bare(channel))
    return document.text(mine)


def _replace(mine: _Element, hubs: _Element, tag: str) -> None:
    theirs = hubs.find(tag)
    there = mine.find(tag)
    if theirs is None:
        if there is not None:
            mine.remove(there)
    elif there is None:
        _insert(mine, theirs)
    else:
        there.getparent().replace(there, deepcopy(theirs))  # type: ignore[union-attr]


def _size(mine: _Element, hubs: _Element) -> None:
    """Take over the numbers; how they are meant (placement, which processors) is the administrator's."""
    before = (mine.findtext("vcpu") or "").strip()
    for tag in _NUMBERS:
        theirs, there = hubs.find(tag), mine.find(tag)
        if theirs is None:
            continue
        if there is None:
            _insert(mine, theirs)
            continue
        there.text = theirs.text
        if theirs.get("unit"):
            there.set("unit", theirs.get("unit", ""))
        if "current" in there.attrib:
            del there.attrib["current"]
    if before != (hubs.findtext("vcpu") or "").strip():
        # They name how many processors there were; libvirt takes no definition that contradicts itself.
        for path in ("cpu/topology", "cpu/numa"):
            for stale in mine.findall(path):
                stale.getparent().remove(stale)  # type: ignore[union-attr]


def _processor(mine: _Element, hubs: _Element) -> None:
    """Emulated processors take other words than those of the host."""
    if mine.get("type") != hubs.get("type"):
        mine.set("type", hubs.get("type", ""))
        _replace(mine, hubs, "cpu")


def _metadata(mine: _Element, hubs: _Element) -> None:
    """Others keep what they wrote there, in namespaces of their own."""
    ours = f"{{{metadata.NAMESPACE}}}*"
    theirs = hubs.find("metadata")
    place = mine.find("metadata")
    if place is None:
        if theirs is not None:
            _insert(mine, theirs)
        return
    for stale in place.findall(ours):
        place.remove(stale)
    for element in theirs.findall(ours) if theirs is not None else ():
        place.append(deepcopy(element))


def _disks(mine: _Element, hubs: _Element, devices: _Element) -> None:
    wanted, there = document.disks(hubs), document.disks(mine)
    for key, disk in there.items():
        if key not in wanted and key in document.SERIALS:
            devices.remove(disk)  # the home that it had, say
    for key, disk in wanted.items():
        if key not in there:
            new = _bare(disk)
            target = new.find("target")
            assert target is not None
            target.set("dev", _free(target.get("dev", "vda"), mine))
            devices.append(new)
            continue
        for tag in _DISK:
            _replace(there[key], disk, tag)
        _attribute(there[key], disk, "driver", "type")


def _interfaces(mine: _Element, hubs: _Element, devices: _Element) -> None:
    there = document.interfaces(mine)
    for mac, interface in document.interfaces(hubs).items():
        if mac not in there:
            devices.append(_bare(interface))
            continue
        there[mac].set("type", interface.get("type", "network"))
        for tag in _INTERFACE:
            _replace(there[mac], interface, tag)


def _attribute(mine: _Element, hubs: _Element, tag: str, name: str) -> None:
    theirs, there = hubs.find(tag), mine.find(tag)
    if theirs is None or not theirs.get(name):
        return
    if there is None:
        _insert(mine, theirs)
    else:
        there.set(name, theirs.get(name, ""))


def _insert(mine: _Element, theirs: _Element) -> None:
    """Put a copy where it stands in the hub's: libvirt's schema keeps some elements together."""
    before = theirs.getprevious()
    while before is not None:
        there = mine.find(str(before.tag))
        if there is not None:
            there.addnext(deepcopy(theirs))
            return
        before = before.getprevious()
    mine.insert(0, deepcopy(theirs))


def _bare(device: _Element) -> _Element:
    """Return a copy without its place on the machine's buses, which may be taken."""
    copy = deepcopy(device)
    for address in copy.findall("address"):
        copy.remove(address)
    return copy


def _free(name: str, root: _Element) -> str:
    """Return `name`, or the next of its kind, that no disk has."""
    taken = {target.get("dev") for target in root.iterfind("devices/disk/target")}
    if name not in taken:
        return name
    return next(name[:-1] + letter for letter in _PLACED if name[:-1] + letter not in taken)
