"""What a hypervisor may be used for at most, from what libvirt's driver for it can do."""

from __future__ import annotations

from urllib.parse import urlsplit

from cernvmapi.models import Level
from cernvmcontroller.placement.candidate import includes

_CONTROLLED = frozenset(
    {
        *("bhyve", "ch", "esx", "gsx", "hyperv", "lxc", "openvz"),
        *("vbox", "vmwarefusion", "vmwareplayer", "vmwarews", "vpx", "vz", "xen"),
    }
)
"""Drivers of libvirt that list domains and start and stop them: https://libvirt.org/drivers.html."""


def highest(uri: str) -> tuple[Level, str]:
    """Return the most that a hypervisor may be used for, and why it is not more; empty where it is all.

    Parameters
    ----------
    uri
        Of its connection.
    """
    driver, path = urlsplit(uri).scheme.partition("+")[0], urlsplit(uri).path
    if driver == "test" or (driver == "qemu" and path == "/system"):
        return Level.NOTEBOOK, ""
    if driver == "qemu" and path == "/session":
        return Level.PROVISION, (
            "A user's own libvirt daemon makes no network for machines: none is placed on it. Use the "
            "system's daemon (qemu:///system) for more."
        )
    if driver in _CONTROLLED:
        return Level.CONTROL, (
            f"Machines of the hub are made for QEMU; those of {driver} are seen, started and stopped."
        )
    return (
        Level.OBSERVE,
        f"It is not known what libvirt's driver {driver} can do: its machines are only seen.",
    )


def lower(one: Level, other: Level) -> Level:
    """Return the lower one of two levels."""
    return other if includes(one, other) else one
