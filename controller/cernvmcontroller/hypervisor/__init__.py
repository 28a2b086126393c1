"""Hypervisors: an asynchronous façade over libvirt, and what is asked of it."""

from __future__ import annotations

from cernvmcontroller.hypervisor.interface import Hypervisor

__all__ = ["Hypervisor", "open_hypervisor"]


def open_hypervisor(uri: str) -> Hypervisor:
    """Return the hypervisor at a libvirt connection URI; nothing is connected before its ``open()``.

    Parameters
    ----------
    uri
        ``qemu:///system``, ``qemu+tls://host/system``, …
    """
    # Imported here: whoever only needs the interface or the fake needs no libvirt.
    from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

    return LibvirtHypervisor(uri)
