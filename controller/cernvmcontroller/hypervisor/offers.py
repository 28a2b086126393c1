"""What a host offers to a domain of a kind, beside what every host has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import libvirt
from lxml import etree


@dataclass(frozen=True)
class DomainKind:
    """What libvirt's answer depends on."""

    arch: str
    machine: str
    """Machine type: ``q35``, ``pc-q35-7.2``, …"""
    domain_type: str
    """``kvm`` or ``qemu``."""


@dataclass(frozen=True)
class Offers:
    """What there is for such a domain."""

    uefi: bool = False
    """Firmware that libvirt finds by itself. Without any it accepts a definition that then does not start."""
    tpm: bool = False
    """An emulator of a TPM 2.0."""


def read(connection: Any, kind: DomainKind) -> Offers:
    """Ask libvirt (in a thread); a driver that does not tell offers nothing."""
    try:
        xml = connection.getDomainCapabilities(None, kind.arch, kind.machine, kind.domain_type)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return Offers()
    return parse(xml)


def parse(xml: str) -> Offers:
    """Read libvirt's domain capabilities (https://libvirt.org/formatdomaincaps.html)."""
    root = etree.fromstring(xml.encode())

    def has(path: str, value: str) -> bool:
        return value in [node.text for node in root.iterfind(f"{path}/value")]

    tpm = "devices/tpm[@supported='yes']/enum"
    versions = root.find(f"{tpm}[@name='backendVersion']")
    return Offers(
        uefi=has("os/enum[@name='firmware']", "efi"),
        # Libvirt before 8.10 does not say which versions there are.
        tpm=has(f"{tpm}[@name='backendModel']", "emulator")
        and (versions is None or has(f"{tpm}[@name='backendVersion']", "2.0")),
    )
