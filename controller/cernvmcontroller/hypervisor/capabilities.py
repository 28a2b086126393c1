"""What a host is and can do, from what libvirt tells."""

from __future__ import annotations

from typing import Any

from lxml import etree

from cernvmcontroller.hypervisor.interface import HostCapabilities


def read(connection: Any) -> HostCapabilities:
    """Ask libvirt (in a thread)."""
    info = connection.getInfo()
    return parse(
        connection.getCapabilities(),
        hostname=connection.getHostname(),
        cpus=info[2],
        memory_mib=info[1],
        libvirt_version=version(connection.getLibVersion()),
        hypervisor_version=version(connection.getVersion()),
    )


def parse(
    xml: str,
    *,
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
    )


def version(number: int) -> str:
    """Return libvirt's version number (major * 1,000,000 + minor * 1,000 + release) as text."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
