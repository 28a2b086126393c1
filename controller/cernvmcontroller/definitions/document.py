"""A domain's XML as a document: read safely, with the lines of its elements, and written so that it compares.

Its form is libvirt's (https://libvirt.org/formatdomain.html).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lxml import etree

from cernvmapi.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element

LARGEST = 256 * 1024
"""Characters of a definition; libvirt's own are about 8,000."""

SERIALS = ("root", "home", "layer")
"""How the hub calls its disks in a machine."""


def read(xml: str) -> _Element:
    """Return the root element.

    Raises
    ------
    Invalid
        It is too long, not well-formed (the detail names the line), has a DOCTYPE, or is no domain.
    """
    if len(xml) > LARGEST:
        raise Invalid(f"A definition has {LARGEST} characters at most, this one has {len(xml)}.")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_blank_text=True
    )
    try:
        root = etree.fromstring(xml.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Invalid(f"The XML cannot be read: {error}. Nothing was changed.") from None
    if etree.ElementTree(root).docinfo.internalDTD is not None:
        raise Invalid("A definition has no DOCTYPE: leave it out.")
    if root.tag != "domain":
        raise Invalid(f"A definition begins with <domain>, this one with <{root.tag}>.")
    return root


def text(root: _Element) -> str:
    """Return a document as text, indented the same way whoever wrote it."""
    etree.indent(root)
    return etree.tostring(root, encoding="unicode") + "\n"


def disk_key(disk: _Element) -> str | None:
    """Return by what one of the hub's disks is known in every version of a definition; None for others.

    Their files' paths change when a machine moves, and the layer's name with each release.
    """
    serial = disk.findtext("serial")
    if serial in SERIALS:
        return serial
    source = disk.find("source")
    if disk.get("device") == "cdrom" and source is not None and source.get("file"):
        return f"cdrom {PurePosixPath(source.get('file', '')).name}"
    return None


def mac(interface: _Element) -> str | None:
    """Return an interface's MAC address, in small letters."""
    node = interface.find("mac")
    return str(node.get("address")).lower() if node is not None and node.get("address") else None


def all_disks(root: _Element) -> Iterator[tuple[str, _Element]]:
    """Yield the hub's disks with their keys."""
    for disk in root.iterfind("devices/disk"):
        key = disk_key(disk)
        if key is not None:
            yield key, disk


def all_interfaces(root: _Element) -> Iterator[tuple[str, _Element]]:
    """Yield the network interfaces with their MAC addresses."""
    for interface in root.iterfind("devices/interface"):
        address = mac(interface)
        if address is not None:
            yield address, interface


def all_channels(root: _Element) -> Iterator[tuple[str, _Element]]:
    """Yield the virtio-serial ports with their names."""
    for channel in root.iterfind("devices/channel"):
        target = channel.find("target")
        if target is not None and target.get("name"):
            yield str(target.get("name")), channel


def disks(root: _Element) -> dict[str, _Element]:
    """Return the hub's disks by their keys."""
    return dict(all_disks(root))


def interfaces(root: _Element) -> dict[str, _Element]:
    """Return the network interfaces by their MAC addresses."""
    return dict(all_interfaces(root))


def channels(root: _Element) -> dict[str, _Element]:
    """Return the virtio-serial ports by their names."""
    return dict(all_channels(root))
