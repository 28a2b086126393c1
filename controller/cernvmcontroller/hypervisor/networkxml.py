"""The XML of the machines' network, and whether one that exists is the same."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from lxml import etree

from cernvmcontroller.hypervisor.elements import E, in_namespace

if TYPE_CHECKING:
    from lxml.etree import _Element

    from cernvmcontroller.hypervisor.specs import NetworkSpec

_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
_D = in_namespace("dnsmasq", _DNSMASQ)


def build(spec: NetworkSpec, *, uuid: str | None = None) -> str:
    """Return the XML of the network; `uuid` is that of the one which it replaces.

    It has no dynamic range: who is not one of the fixed entries gets no address.
    """
    if spec.bridged:
        network = E.network(E.name(spec.name), E.forward(mode="bridge"), E.bridge(name=spec.bridge))
        return _text(network, uuid)
    entries = [E.host(mac=spec.mac(index), ip=str(spec.address(index))) for index in range(spec.hosts)]
    network = E.network(
        E.name(spec.name),
        E.forward(mode="nat"),
        E.bridge(name=spec.bridge, stp="off", delay="0"),
        E.ip(E.dhcp(*entries), address=str(spec.gateway), netmask=str(spec.cidr.netmask), family="ipv4"),
        _D.options(
            # dnsmasq hands out 1,000 leases unless told otherwise.
            _D.option(value=f"dhcp-lease-max={spec.hosts}"),
            # A guest's idea of its own name must not become an answer of the network's name server.
            _D.option(value="dhcp-ignore-names"),
        ),
    )
    return _text(network, uuid)


def _text(network: _Element, uuid: str | None) -> str:
    if uuid is not None:
        network.insert(1, E.uuid(uuid))
    etree.indent(network)
    return etree.tostring(network, encoding="unicode")


def same(xml: str, spec: NetworkSpec) -> bool:
    """Say whether the network of `xml` is, in all that machines notice, that of `spec`."""
    root = etree.fromstring(xml.encode())
    bridge, ip, forward = root.find("bridge"), root.find("ip"), root.find("forward")
    bridged = forward is not None and forward.get("mode") == "bridge"
    if bridged or spec.bridged:
        return bridged and spec.bridged and bridge is not None and bridge.get("name") == spec.bridge
    if bridge is None or ip is None or bridge.get("name") != spec.bridge:
        return False
    subnet = IPv4Network(f"{ip.get('address')}/{ip.get('netmask') or ip.get('prefix')}", strict=False)
    if ip.get("address") != str(spec.gateway) or subnet != spec.cidr:
        return False
    entries = {(str(host.get("mac")), str(host.get("ip"))) for host in ip.iterfind("dhcp/host")}
    return ip.find("dhcp/range") is None and entries == {
        (spec.mac(index), str(spec.address(index))) for index in range(spec.hosts)
    }
