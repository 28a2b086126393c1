"""The fake hypervisor's verbs between two of them, with the answers of QEMU's driver."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from cernvmapi.errors import HostUnreachable, HypervisorFailed, NotFound
from cernvmapi.models import Power
from cernvmcontroller.hypervisor.fakefaults import FaultyCalls, verb
from cernvmcontroller.hypervisor.interface import DomainEvent, DomainEventKind, HypervisorEvent, WrongState
from cernvmcontroller.hypervisor.livemigration import relocated
from cernvmcontroller.hypervisor.migration import MIGRATING

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.fakehost import FakeDomain, FakeHost
    from cernvmcontroller.hypervisor.interface import VolumeState
    from cernvmcontroller.hypervisor.migration import Passage, Percent


class FakeMigration(FaultyCalls):
    """What `~cernvmcontroller.hypervisor.migration.Migration` asks for; `FakeHypervisor` has the rest."""

    host: FakeHost

    def _emit(self, event: HypervisorEvent) -> None:
        raise NotImplementedError

    def _stop(self, domain: FakeDomain, reason: str, kind: DomainEventKind) -> None:
        raise NotImplementedError

    @property
    def peer(self) -> object:
        """What verbs of another one take for this one."""
        return self

    @verb
    async def migrate(
        self, uuid: str, peer: object, passage: Passage, progress: Percent | None = None
    ) -> None:
        """Move a running domain, in steps, so that it can be broken off."""
        assert isinstance(peer, FakeMigration)
        domain = self.host.domain(uuid)
        if domain.power is Power.OFF:
            raise WrongState("Requested operation is not valid: domain is not running")
        if not peer.alive:
            raise HostUnreachable(f"{peer.uri} does not answer: {peer.reason}.")
        xml, runs = (relocated(each, passage.files) for each in (domain.xml, domain.runs or domain.xml))
        coming = replace(domain, xml=xml, runs=runs, power=Power.OFF, used={})
        peer.host.check_startable(coming)
        if uuid in peer.host.domains and peer.host.domains[uuid].power is not Power.OFF:
            raise HypervisorFailed(f"operation failed: domain '{domain.name}' is already active")
        coming.power, coming.reason = Power.PAUSED, MIGRATING
        peer.host.domains[uuid] = coming
        try:
            for percent in (30, 60, 100):
                await asyncio.sleep(0)
                for each, part in ((peer, "incoming"), (self, "outgoing")):
                    await each._before(part)  # noqa: SLF001 - the same class
                if progress is not None:
                    progress(percent)
        except BaseException:
            peer.host.domains.pop(uuid, None)
            raise
        self._stop(domain, "migrated", DomainEventKind.STOPPED)
        del self.host.domains[uuid]
        peer.host.boots += 1
        coming.run, coming.power, coming.reason = peer.host.boots, Power.ON, "migrated"
        peer._emit(DomainEvent(uuid, DomainEventKind.RESUMED))  # noqa: SLF001 - the same class

    @verb
    async def abort_migration(self, uuid: str) -> None:
        """Nothing is under way here that nobody waits for."""

    @verb
    async def copy_volume(
        self,
        pool: str,
        name: str,
        peer: object,
        to_pool: str,
        *,
        backing: str | None = None,
        progress: Percent | None = None,
    ) -> VolumeState:
        """Copy a volume."""
        assert isinstance(peer, FakeMigration)
        source = self.host.pool(pool).volumes.get(name)
        if source is None:
            raise NotFound(f"Storage volume not found: no volume '{name}'")
        await peer._before("receive")  # noqa: SLF001 - the same class
        store = peer.host.pool(to_pool)
        known = store.volumes.get(name)
        if known is None or not known.complete:
            path = f"{store.path}/{name}"
            store.volumes[name] = replace(source, path=path, backing=backing or source.backing)
        if progress is not None:
            progress(100)
        return store.volumes[name].state()
