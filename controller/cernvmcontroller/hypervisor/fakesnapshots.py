"""The fake hypervisor's snapshots, with the answers of QEMU's driver."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cernvmapi.errors import NotFound
from cernvmapi.models import Power
from cernvmcontroller.hypervisor.fakefaults import FaultyCalls, verb
from cernvmcontroller.hypervisor.interface import WrongState
from cernvmcontroller.hypervisor.snapshots import SnapshotState

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.fakehost import FakeHost


class FakeSnapshots(FaultyCalls):
    """What `~cernvmcontroller.hypervisor.snapshots.Snapshots` asks for; `FakeHypervisor` has the rest."""

    host: FakeHost

    @verb
    async def snapshots(self, uuid: str) -> list[SnapshotState]:
        """Return a domain's snapshots."""
        return list(self.host.domain(uuid).snapshots.values())

    @verb
    async def take_snapshot(self, uuid: str, name: str, description: str = "") -> None:
        """Keep what the domain is now."""
        domain = self.host.domain(uuid)
        if name not in domain.snapshots:
            for each in domain.snapshots.values():
                domain.snapshots[each.name] = replace(each, current=False)
            memory = domain.power is not Power.OFF
            domain.snapshots[name] = SnapshotState(name, datetime.now(UTC), memory, description, current=True)

    @verb
    async def revert(self, uuid: str, name: str) -> None:
        """Bring the domain back."""
        domain = self.host.domain(uuid)
        if name not in domain.snapshots:
            raise NotFound(f"Domain snapshot not found: no domain snapshot with matching name '{name}'")
        if domain.snapshots[name].memory is (domain.power is Power.OFF):
            raise WrongState("The snapshot is of a domain that ran, and this one is off, or the reverse.")
        domain.reverted.append(name)
        for each in domain.snapshots.values():
            domain.snapshots[each.name] = replace(each, current=each.name == name)

    @verb
    async def delete_snapshot(self, uuid: str, name: str) -> None:
        """Forget a snapshot."""
        self.host.domain(uuid).snapshots.pop(name, None)
