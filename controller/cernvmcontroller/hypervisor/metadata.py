"""A machine's metadata in the domain's XML, in a namespace of our own."""

from __future__ import annotations

from lxml import etree

from cernvmcontroller.hypervisor.specs import MachineMetadata

NAMESPACE = "https://cernvm.cern.ch/ns/hub/1"
PREFIX = "cvm"
_BARE = "machine"
_TAG = f"{{{NAMESPACE}}}{_BARE}"

_TEXTS = {
    "hub": "hub_id",
    "id": "machine_id",
    "owner": "owner",
    "server": "server_name",
    "appliance": "appliance",
    "cluster": "cluster",
    "flavor": "flavor",
    "network": "network",
    "address": "address",
    "home": "home",
}
"""XML attribute → field."""

_NUMBERS = {"port": "port", "revision": "revision"}

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)


def printable(text: str) -> str:
    """Return `text` without the characters that XML 1.0 cannot carry (NUL and other controls)."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


def element(metadata: MachineMetadata, *, bare: bool = False) -> etree._Element:
    """Return the ``<cvm:machine>`` element; a field that is None has no attribute.

    Parameters
    ----------
    bare
        Without our namespace, as libvirt wants the element when it writes it into a domain.
    """
    node = etree.Element(_BARE) if bare else etree.Element(_TAG, nsmap={PREFIX: NAMESPACE})
    for attribute, name in (_TEXTS | _NUMBERS).items():
        value = getattr(metadata, name)
        if value is not None:
            node.set(attribute, printable(str(value)))
    node.set("notebook", "yes" if metadata.notebook else "no")
    return node


def serialise(metadata: MachineMetadata, *, bare: bool = False) -> str:
    """Return the element as text; `bare` as for `element`."""
    return etree.tostring(element(metadata, bare=bare), encoding="unicode")


def as_told(metadata: MachineMetadata) -> MachineMetadata:
    """Return what is read where `metadata` was written: some characters get lost."""
    return from_element(element(metadata)) or metadata


def parse(xml: str | bytes) -> MachineMetadata | None:
    """Read the metadata from a domain's XML or from the element alone; None where there is none of ours."""
    try:
        root = etree.fromstring(xml if isinstance(xml, bytes) else xml.encode(), _PARSER)
    except etree.XMLSyntaxError:
        return None
    # Asked for the element alone, libvirt gives it without its namespace.
    node = root if root.tag in (_TAG, _BARE) else root.find(f"metadata/{_TAG}")
    if node is None:
        return None
    return from_element(node)


def from_element(node: etree._Element) -> MachineMetadata | None:
    """Read the metadata from its element; None where it is not complete enough to name a machine."""
    texts = {name: node.get(attribute) for attribute, name in _TEXTS.items()}
    hub_id, machine_id = texts.pop("hub_id"), texts.pop("machine_id")
    if not hub_id or not machine_id:
        return None
    numbers = {name: _number(node.get(attribute)) for attribute, name in _NUMBERS.items()}
    return MachineMetadata(
        hub_id=hub_id,
        machine_id=machine_id,
        notebook=node.get("notebook") == "yes",
        port=numbers["port"],
        revision=numbers["revision"],
        **texts,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
