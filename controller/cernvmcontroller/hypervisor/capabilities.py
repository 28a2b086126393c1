"""What a host is and can do, from what libvirt tells."""

from __future__ import annotations

from typing import Any

import libvirt
from lxml import etree

from cernvmcontroller.hypervisor import errors
from cernvmcontroller.hypervisor.interface import HostCapabilities


def read(connection: Any) -> HostCapabilities:
    """Ask libvirt (in a thread)."""
    info = connection.getInfo()
    xml = connection.getCapabilities()
    return parse(
        xml,
        features=_features(connection, xml),
        hostname=connection.getHostname(),
        cpus=info[2],
        memory_mib=info[1],
        libvirt_version=version(connection.getLibVersion()),
        hypervisor_version=version(connection.getVersion()),
    )


def parse(
    xml: str,
    *,
    features: frozenset[str] = frozenset(),
    hostname: str,
    cpus: int,
    memory_mib: int,
    libvirt_version: str,
    hypervisor_version: str,
) -> HostCapabilities:
    """Read libvirt's capabilities document."""
    root = etree.fromstring(xml.encode())
    arch = root.findtext("host/cpu/arch") or ""
    guests = root.iterfind(f"guest/arch[@name='{arch}']/domain") if arch else iter(())
    return HostCapabilities(
        host_uuid=root.findtext("host/uuid") or "",
        hostname=hostname,
        arch=arch,
        cpu_model=root.findtext("host/cpu/model") or "",
        cpus=cpus,
        memory_mib=memory_mib,
        libvirt_version=libvirt_version,
        hypervisor_version=hypervisor_version,
        domain_types=frozenset(str(node.get("type")) for node in guests),
        cpu_features=features,
    )


def _features(connection: Any, xml: str) -> frozenset[str]:
    """Return all features of the processors; those of their model are written out by libvirt."""
    cpu = etree.fromstring(xml.encode()).find("host/cpu")
    if cpu is None:
        return frozenset()
    try:
        expand = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        cpu = etree.fromstring(connection.baselineCPU([etree.tostring(cpu, encoding="unicode")], expand))
    except libvirt.libvirtError as error:
        if errors.is_connection_lost(error):
            raise
        # A driver that knows no models: what it lists beside them is all there is.
    return frozenset(str(node.get("name")) for node in cpu.iterfind("feature"))


def version(number: int) -> str:
    """Return libvirt's version number (major * 1,000,000 + minor * 1,000 + release) as text."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
