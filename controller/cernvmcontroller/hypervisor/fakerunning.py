"""The fake hypervisor's verbs on running domains, with the answers of QEMU's driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.models import Power
from cernvmcontroller.hypervisor.fakefaults import FaultyCalls, verb
from cernvmcontroller.hypervisor.interface import DomainEvent, DomainEventKind, HypervisorEvent, WrongState
from cernvmcontroller.hypervisor.lifecycle import SAVED

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.fakehost import FakeDomain, FakeHost


class FakeRunning(FaultyCalls):
    """What `~cernvmcontroller.hypervisor.lifecycle.Lifecycle` asks for; `FakeHypervisor` has the rest."""

    host: FakeHost

    def _emit(self, event: HypervisorEvent) -> None:
        raise NotImplementedError

    def _stop(self, domain: FakeDomain, reason: str, kind: DomainEventKind) -> None:
        raise NotImplementedError

    @verb
    async def suspend(self, uuid: str) -> None:
        """Let it stand still."""
        domain = self._running(uuid)
        if domain.power is Power.ON:
            domain.power, domain.reason = Power.PAUSED, "user"
            self._emit(DomainEvent(uuid, DomainEventKind.PAUSED))

    @verb
    async def resume(self, uuid: str) -> None:
        """Let it go on."""
        domain = self._running(uuid)
        if domain.power is Power.PAUSED:
            domain.power, domain.reason = Power.ON, "unpaused"
            self._emit(DomainEvent(uuid, DomainEventKind.RESUMED))

    @verb
    async def reset(self, uuid: str) -> None:
        """Press its reset button."""
        self._running(uuid)
        self._emit(DomainEvent(uuid, DomainEventKind.REBOOTED))

    @verb
    async def update_device(self, uuid: str, xml: str) -> None:
        """Change an interface of what runs."""
        self._running(uuid).update_interface(xml)

    @verb
    async def store(self, uuid: str) -> None:
        """Write its memory to the host's disk and switch it off."""
        domain = self.host.domain(uuid)
        if domain.power is Power.OFF and domain.stored:
            return
        self._running(uuid).stored = True
        self._stop(domain, SAVED, DomainEventKind.STOPPED)

    @verb
    async def discard(self, uuid: str) -> None:
        """Throw away what was stored."""
        self.host.domain(uuid).stored = False

    def _running(self, uuid: str) -> FakeDomain:
        domain = self.host.domain(uuid)
        if domain.power is Power.OFF:
            raise WrongState("Requested operation is not valid: domain is not running")
        return domain
