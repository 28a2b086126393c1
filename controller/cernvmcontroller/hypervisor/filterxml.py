"""The XML of the machines' network filter.

Two fences. On the wire (ebtables): a machine sends only with its own MAC and address, only IPv4 and ARP,
and nothing to forbidden addresses. Behind it, with connection tracking (iptables): to the gateway only DHCP,
DNS and the named TCP ports, not too many connections at a time, and answers to what the host asked. The
second needs the kernel's ``br_netfilter`` with ``bridge-nf-call-iptables`` on, as all of libvirt's filters
for TCP and UDP do.

The checks are those of libvirt's clean-traffic (no-mac-spoofing, no-ip-spoofing, no-arp-spoofing, and
nothing else on layer 2), written as rules of one chain instead of references: each reference is a chain of
its own, for which libvirt runs eight commands at every start of a machine.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from lxml import etree

from cernvmcontroller.hypervisor.elements import E

if TYPE_CHECKING:
    from lxml.etree import _Element

    from cernvmcontroller.hypervisor.specs import FilterSpec

ALWAYS_BLOCKED = ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
"""Never reached from a machine: the host itself, the metadata service of a cloud that the host may run in (it
would hand out the host's credentials), and whatever listens for multicast and broadcast."""

_MAC, _DHCP, _SOURCE, _GATEWAY, _BLOCKED, _IPV4, _ARP_SOURCE, _ARP = range(-800, -480, 40)
_REST = 1000
_FULL, _OPEN, _ANSWERS, _CLOSED = 50, 100, 200, 900

MOST_CONNECTIONS = 200
"""TCP connections that a machine may have to its host at a time: one cannot take the places of all."""


def build(spec: FilterSpec, *, uuid: str | None = None) -> str:
    """Return the XML of the filter; `uuid` is that of the one which it replaces."""
    gateway = str(IPv4Address(spec.gateway))
    root = E.filter(name=spec.name, chain="root")
    if uuid is not None:
        root.append(E.uuid(uuid))
    root.extend(_wire(spec, gateway))
    root.extend(_tracked(spec, gateway))
    etree.indent(root)
    return etree.tostring(root, encoding="unicode")


def same(xml: str, spec: FilterSpec) -> bool:
    """Say whether the filter of `xml` has the same rules as that of `spec`."""
    return _canonical(xml) == _canonical(build(spec))


def _wire(spec: FilterSpec, gateway: str) -> list[_Element]:
    dhcp = E.ip(protocol="udp", dstipaddr="255.255.255.255", srcportstart="68", dstportstart="67")
    blocked = [*ALWAYS_BLOCKED, *spec.blocked, *([spec.subnet] if spec.subnet else [])]
    return [
        _rule("drop", "out", _MAC, E.mac(match="no", srcmacaddr="$MAC")),
        # Whoever asks for an address has none yet.
        _rule("accept", "out", _DHCP, dhcp),
        _rule("drop", "out", _SOURCE, E.ip(match="no", srcipaddr="$IP")),
        _rule("accept", "out", _GATEWAY, E.ip(dstipaddr=gateway)),
        *(_rule("drop", "out", _BLOCKED, E.ip(_destination(each))) for each in blocked),
        _rule("accept", "inout", _IPV4, E.mac(protocolid="ipv4")),
        _rule("drop", "out", _ARP_SOURCE, E.arp(match="no", arpsrcmacaddr="$MAC")),
        _rule("drop", "out", _ARP_SOURCE, E.arp(match="no", arpsrcipaddr="$IP")),
        _rule("accept", "inout", _ARP, E.mac(protocolid="arp")),
        # IPv6 among it: the network has none, and what has no rules must have no way.
        _rule("drop", "inout", _REST, None),
    ]


def _tracked(spec: FilterSpec, gateway: str) -> list[_Element]:
    connections = {"dstipaddr": gateway, "connlimit-above": str(MOST_CONNECTIONS)}
    return [
        _rule("drop", "out", _FULL, E.tcp(connections)),
        _rule("accept", "out", _OPEN, E.udp(dstportstart="67")),
        _rule("accept", "out", _OPEN, E.udp(dstipaddr=gateway, dstportstart="53")),
        *(
            _rule("accept", "out", _OPEN, E.tcp(dstipaddr=gateway, dstportstart=str(port)))
            for port in sorted({53, *spec.host_ports})
        ),
        # What the host asks a machine, and the machine's answers to that.
        _rule("accept", "in", _ANSWERS, E.all()),
        _rule("reject", "out", _CLOSED, E.all(dstipaddr=gateway)),
    ]


def _rule(action: str, direction: str, priority: int, match: _Element | None) -> _Element:
    rule = E.rule(action=action, direction=direction, priority=str(priority))
    if match is not None:
        rule.append(match)
    return rule


def _destination(address: str) -> dict[str, str]:
    network = IPv4Network(address)
    if network.prefixlen == network.max_prefixlen:
        return {"dstipaddr": str(network.network_address)}
    return {"dstipaddr": str(network.network_address), "dstipmask": str(network.prefixlen)}


def _canonical(xml: str) -> set[tuple[object, ...]]:
    root = etree.fromstring(xml.encode())
    rules: set[tuple[object, ...]] = {
        ("filterref", node.get("filter")) for node in root.iterfind("filterref")
    }
    for rule in root.iterfind("rule"):
        matches = tuple((str(match.tag), frozenset(match.attrib.items())) for match in rule)
        rules.add((rule.get("action"), rule.get("direction"), rule.get("priority"), matches))
    return rules
