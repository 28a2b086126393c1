"""The XML of storage pools and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxml import etree

from cernvmcontroller.hypervisor.elements import E
from cernvmcontroller.hypervisor.interface import VolumeState

if TYPE_CHECKING:
    from lxml.etree import _Element

    from cernvmcontroller.hypervisor.specs import Format, PoolSpec


def pool(spec: PoolSpec) -> str:
    """Return the XML of a directory pool.

    Its directory lets QEMU's user through to the files that it was given, and nobody list them.
    """
    return _text(
        E.pool(
            E.name(spec.name),
            E.target(E.path(spec.path), E.permissions(E.mode("0711"))),
            type="dir",
        )
    )


def path_of(xml: str) -> str:
    """Return the directory of a pool."""
    return etree.fromstring(xml.encode()).findtext("target/path") or ""


def state_of(xml: str) -> VolumeState:
    """Return what a volume's XML says of it; libvirt gives sizes in bytes there.

    Source of the format: https://libvirt.org/formatstorage.html#storage-volume-xml
    """
    root = etree.fromstring(xml.encode())
    return VolumeState(
        name=root.findtext("name") or "",
        capacity=int(root.findtext("capacity") or 0),
        allocation=int(root.findtext("allocation") or 0),
        path=root.findtext("target/path") or "",
        backing=root.findtext("backingStore/path"),
    )


def volume(
    name: str,
    *,
    capacity: int,
    image_format: Format,
    backing: tuple[str, Format] | None = None,
) -> str:
    """Return the XML of a volume; nothing is allocated before it is written.

    Parameters
    ----------
    capacity
        Bytes.
    backing
        Path and format of the image that it is an overlay of.
    """
    target = E.target(E.format(type=image_format), E.permissions(E.mode("0600")))
    if image_format == "qcow2":
        target.insert(1, E.compat("1.1"))
    node = E.volume(
        E.name(name),
        E.capacity(str(capacity), unit="bytes"),
        E.allocation("0", unit="bytes"),
        target,
        type="file",
    )
    if backing is not None:
        path, backing_format = backing
        node.append(E.backingStore(E.path(path), E.format(type=backing_format)))
    return _text(node)


def _text(node: _Element) -> str:
    return etree.tostring(node, encoding="unicode")
