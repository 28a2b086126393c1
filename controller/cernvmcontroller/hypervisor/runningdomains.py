"""Verbs on running domains: `cernvmcontroller.hypervisor.lifecycle.Lifecycle` by libvirt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import libvirt

from cernvmcontroller.hypervisor.interface import WrongState

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.connection import Connection

_ON = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)
_OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)


class RunningDomains:
    """Those of a connection.

    Gated on the state before the call: what drivers say of a verb in a wrong state differs.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def suspend(self, uuid: str) -> None:
        """Let it stand still."""
        await self._with(uuid, lambda domain: domain.suspend() if _state(domain) in _ON else None)

    async def resume(self, uuid: str) -> None:
        """Let it go on."""
        await self._with(uuid, lambda domain: domain.resume() if _state(domain) not in _ON else None)

    async def reset(self, uuid: str) -> None:
        """Press its reset button."""
        await self._with(uuid, lambda domain: domain.reset())

    async def update_device(self, uuid: str, xml: str) -> None:
        """Change a device of what runs."""
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        await self._with(uuid, lambda domain: domain.updateDeviceFlags(xml, live))

    async def store(self, uuid: str) -> None:
        """Write its memory to the host's disk."""

        def store(connection: Any) -> None:
            domain = connection.lookupByUUIDString(uuid)
            if _state(domain, off=True) in _OFF:
                if domain.hasManagedSaveImage():
                    return
                raise WrongState("The domain is not running.")
            domain.managedSave()

        await self._connection.call_long(store, f"store {uuid}")

    async def discard(self, uuid: str) -> None:
        """Throw away what was stored."""

        def discard(connection: Any) -> None:
            domain = connection.lookupByUUIDString(uuid)
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

        await self._connection.call(discard, slow=True)

    async def _with(self, uuid: str, act: Callable[[Any], Any]) -> None:
        await self._connection.call(lambda c: act(_running(c.lookupByUUIDString(uuid))), slow=True)


def _running(domain: Any) -> Any:
    _state(domain)
    return domain


def _state(domain: Any, *, off: bool = False) -> int:
    state: int = domain.state()[0]
    if state in _OFF and not off:
        raise WrongState("The domain is not running.")
    return state
