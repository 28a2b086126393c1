"""What must not stand in a machine's definition: pure functions, each rule with a name that people may read.

A definition is what QEMU is started with on a host, by a daemon that may open every file there. So what is
not known to be harmless is refused: paths that are not the machine's own, ways around libvirt, devices of
the host, and everything that lowers what keeps a machine apart from others. What the definition has already
may stay: someone with the right put it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from cernvmcontroller.definitions import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lxml.etree import _Element

_HARMLESS_FILES = frozenset({"/dev/urandom", "/dev/random"})
_DEVICES = frozenset(
    {
        "audio", "channel", "console", "controller", "disk", "emulator", "graphics", "hub", "input",
        "interface", "iommu", "memballoon", "panic", "rng", "serial", "sound", "tpm", "video", "watchdog",
    }
)  # fmt: skip
_FIXED = ("name", "uuid", "title")
_SIZE = ("memory", "currentMemory", "vcpu")
_DUMPS = (
    "on_crash[.='coredump-destroy']",
    "on_crash[.='coredump-restart']",
    "memory[@dumpCore='on']",
    "devices/watchdog[@action='dump']",
)
_CHARACTER = ("serial", "console", "channel")
_OF_THE_HOST = ("file", "dev", "dir", "path", "socket")


@dataclass(frozen=True)
class Broken:
    """That a rule is broken."""

    rule: str
    line: int
    """Of the XML as it was given; 0 where something is missing."""
    words: str
    what: str
    """The element as it stands there: what is changed in it is another fault."""


def broken(wanted: str, now: str) -> list[Broken]:
    """Return what a definition breaks that the one that there is now does not break.

    Parameters
    ----------
    wanted
        The XML that somebody would like.
    now
        What libvirt has.

    Raises
    ------
    Invalid
        It cannot be read at all.
    """
    root, before = document.read(wanted), document.read(now)
    old = {(each.rule, each.what) for rule in _RULES for each in rule(before, before)}
    found = (each for rule in _RULES for each in rule(root, before))
    return sorted((each for each in found if (each.rule, each.what) not in old), key=lambda each: each.line)


def identity(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse another name, and a machine without what the hub made for it, or with it twice."""
    for tag in _FIXED:
        if (root.findtext(tag) or "").strip() != (now.findtext(tag) or "").strip():
            words = f"<{tag}> is the hub's; a machine is renamed in its settings"
            yield _of("identity", root.find(tag), words)
    for what, of in (
        ("disk", document.all_disks),
        ("interface", document.all_interfaces),
        ("channel", document.all_channels),
    ):
        there = [name for name, _ in of(root)]
        for name in {name for name, _ in of(now)}:
            if there.count(name) != 1:
                how = "is missing" if name not in there else "stands there more than once"
                yield _of("identity", None, f"the machine's own {what} ({name}) {how}")


def size(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse another size: it is promised on hosts and counted in quotas, and has a verb of its own."""
    for tag in _SIZE:
        node, there = root.find(tag), now.find(tag)
        if (_number(node), _unit(node)) != (_number(there), _unit(there)):
            yield _of("size", node, f"<{tag}> is changed with the machine's size")


def paths(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse files of the host, except for those that the machine has, each in its place.

    A base is what many machines' disks grow from: it is read there, and would be written as a disk.
    """
    known = {(place, value) for _, place, value in _paths(now)}
    for node, place, value in _paths(root):
        if value not in _HARMLESS_FILES and (place, value) not in known:
            yield _of("paths", node, f"{value} is not one of the machine's own files in this place")


def arguments(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse elements of other namespaces (``qemu:commandline``): they go around libvirt."""
    del now
    for node in root.iter(etree.Element):
        if _told(node):
            continue
        name = etree.QName(node)
        if name.namespace:
            words = f"<{node.prefix}:{name.localname}> hands things to the hypervisor past libvirt's checks"
            yield _of("arguments", node, words)


def devices(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse devices of the host, and kinds that nobody here has thought about."""
    del now
    for node in root.iterfind("devices/*"):
        if not isinstance(node.tag, str) or etree.QName(node).namespace:
            continue  # a comment, or what `arguments` refuses
        kind = node.get("type", "")
        if node.tag not in _DEVICES:
            yield _of("host-devices", node, f"<{node.tag}> gives the machine something of its host")
        elif node.tag == "disk" and not _of_files(node):
            words = "a disk is of type 'file', and so is all that it grows from: the machine's own files"
            yield _of("host-devices", node, words)
        elif node.tag == "input" and kind in {"passthrough", "evdev"}:
            yield _of("host-devices", node, "this input is one of its host")
        elif node.tag == "audio" and kind != "none":
            yield _of("host-devices", node, "sound of a machine goes nowhere: type='none'")
        elif node.tag == "tpm" and node.find("backend[@type='emulator']") is None:
            yield _of("host-devices", node, "only an emulated TPM is the machine's own")


def guards(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse what opens the host to the machine, or tells it what the machine knows."""
    del now
    for node in root.iter("seclabel"):
        yield _of("isolation", node, "<seclabel> changes what guards the host from QEMU")
    for path in _DUMPS:
        for node in root.iterfind(path):
            yield _of("isolation", node, "what a guest knows is not written to its host")
    for tag in _CHARACTER:
        for node in root.iterfind(f"devices/{tag}"):
            if node.get("type") not in {"pty", "unix"}:
                yield _of("isolation", node, f"a <{tag}> is of type 'pty' or 'unix', its other end the hub's")
    for node in root.iterfind("devices/rng/backend"):
        if node.get("model") not in {"random", "builtin"}:
            yield _of("isolation", node, "entropy comes from the host's own source")


def screens(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse screens that others than the hub can look at."""
    del now
    for node in root.iterfind("devices/graphics"):
        listens = [listen.get("type") for listen in node.iterfind("listen")]
        if node.get("type") != "vnc" or listens != ["socket"]:
            words = "a screen is shown over a unix socket: type='vnc' with <listen type='socket'/>"
            yield _of("isolation", node, words)
        if node.get("passwd") is not None:
            yield _of("isolation", node, "a password is no secret here; who may look asks the hub")


def interfaces(root: _Element, now: _Element) -> Iterator[Broken]:
    """Refuse interfaces that are not held to their address and kept from their neighbours."""
    there = document.interfaces(now)
    networks = {_network(each) for each in there.values()}
    for node in root.iterfind("devices/interface"):
        known = there.get(document.mac(node) or "")
        if node.get("type") != "network" or _network(node) not in networks:
            yield _of("isolation", node, "an interface is on the hub's network, which keeps machines apart")
        elif known is None:
            yield _of("isolation", node, "another interface has an address that no filter holds it to")
        else:
            for tag in ("filterref", "port"):
                if _outline(node.find(tag)) != _outline(known.find(tag)):
                    words = f"the <{tag}> of an interface keeps a machine from its neighbours; it stays"
                    yield _of("isolation", node, words)


_RULES: tuple[Callable[[_Element, _Element], Iterator[Broken]], ...] = (
    identity,
    size,
    paths,
    arguments,
    devices,
    guards,
    screens,
    interfaces,
)


def _of(rule: str, node: _Element | None, words: str) -> Broken:
    line = node.sourceline if node is not None else None
    return Broken(rule, line if isinstance(line, int) else 0, words, _outline(node) or words)


def _of_files(disk: _Element) -> bool:
    """Whether a disk, and each image below it, is in a file; the lowest has nothing below it."""
    below = (image.get("type", "file") for image in disk.iter("backingStore", "mirror"))
    return {disk.get("type"), *below} == {"file"}


def _number(node: _Element | None) -> str:
    return (node.text or "").strip() if node is not None else ""


def _unit(node: _Element | None) -> str:
    return node.get("unit", "KiB") if node is not None and node.tag != "vcpu" else ""


def _network(interface: _Element) -> str | None:
    source = interface.find("source")
    return source.get("network") if source is not None else None


def _outline(node: _Element | None) -> str:
    """Return an element's content in a form that compares."""
    if node is None:
        return ""
    inner = "".join(_outline(child) for child in node if isinstance(child.tag, str))
    return f"<{node.tag} {sorted(node.attrib.items())}>{(node.text or '').strip()}{inner}</>"


def _told(node: _Element) -> bool:
    """Whether it is metadata, with which libvirt does nothing."""
    return any(parent.tag == "metadata" for parent in (node, *node.iterancestors()))


def _paths(root: _Element) -> Iterator[tuple[_Element, str, str]]:
    """Yield all that names a file, and its place: absolute paths, and whatever a source is taken from."""
    for node in root.iter(etree.Element):
        if _told(node):
            continue
        text = (node.text or "").strip()
        if text.startswith("/"):
            yield node, _place(node), text
        for name, value in node.attrib.items():
            source = node.tag == "source" and name in _OF_THE_HOST
            if str(value).strip().startswith("/") or source:
                yield node, f"{_place(node)} {name!s}", str(value)


def _place(node: _Element) -> str:
    """Return where an element stands; of the disks, in which one."""
    line = [node, *node.iterancestors()]
    disk = next((each for each in line if each.tag == "disk"), None)
    which = ""
    if disk is not None:
        target = disk.find("target")
        which = document.disk_key(disk) or f"target {target.get('dev') if target is not None else ''}"
        which += "" if disk.find("readonly") is None else " read only"
    return " ".join([which, *(str(each.tag) for each in reversed(line))])
