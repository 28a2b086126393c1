"""Libvirt's events about domains as ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import libvirt

from cernvmcontroller.hypervisor.interface import DomainEvent, DomainEventKind

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: DomainEventKind.DEFINED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: DomainEventKind.UNDEFINED,
    libvirt.VIR_DOMAIN_EVENT_STARTED: DomainEventKind.STARTED,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: DomainEventKind.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: DomainEventKind.RESUMED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: DomainEventKind.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: DomainEventKind.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: DomainEventKind.CRASHED,
}
"""Without `VIR_DOMAIN_EVENT_SHUTDOWN`: the guest is done, QEMU still ends, and `STOPPED` follows."""

_CRASHES = frozenset({libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED})


class DomainEvents:
    """Passes a connection's domain events on, until it is muted.

    Parameters
    ----------
    hear
        Called in libvirt's event thread.
    """

    def __init__(self, hear: Callable[[DomainEvent], None]) -> None:
        self._hear: Callable[[DomainEvent], None] | None = hear

    def register(self, connection: Any) -> None:
        """Ask `connection` for its events; what a driver does not have is left out."""
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
        with contextlib.suppress(libvirt.libvirtError):
            connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot, None)

    def mute(self) -> None:
        """Pass nothing on any more."""
        self._hear = None

    def _lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        kind = _KINDS.get(event)
        if kind is DomainEventKind.STOPPED and detail in _CRASHES:
            kind = DomainEventKind.CRASHED
        if kind is not None:
            self._pass(domain, kind)

    def _reboot(self, _connection: Any, domain: Any, _opaque: object) -> None:
        self._pass(domain, DomainEventKind.REBOOTED)

    def _pass(self, domain: Any, kind: DomainEventKind) -> None:
        if self._hear is not None:
            self._hear(DomainEvent(domain.UUIDString(), kind))
