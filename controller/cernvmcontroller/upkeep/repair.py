"""Mending what database and hosts do not agree on; no controller runs meanwhile, and no home is removed."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmapi.errors import CernVMError, Conflict, HypervisorFailed, NotFound
from cernvmapi.models import OperationStatus, Status, Target, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.inventory import HostLink
from cernvmcontroller.machines import sidecar, watch
from cernvmcontroller.machines.ledger import Ledger, finish_operations, let_go
from cernvmcontroller.store import Actor, Transaction, addresses, operations, volumes
from cernvmcontroller.store.tables import MachineRow
from cernvmcontroller.upkeep import garbage
from cernvmcontroller.upkeep.agreement import Finding, Kind
from cernvmcontroller.upkeep.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.inventory import HostSpec
    from cernvmcontroller.repository import Repository

_ENDED = "The machine was off, and the hub did not do it: its host may have been restarted. Start it again."
_NOTHING = "Nothing was done about it any more; look at the machine, try again."
_WRITTEN_DOWN = (Kind.DOMAIN_WITHOUT_ROW, Kind.HOME_UNKNOWN, Kind.VOLUME_WITHOUT_ROW)
_REMOVED = (Kind.LEFT_OVER, Kind.UNFINISHED, Kind.GARBAGE, Kind.ROW_WITHOUT_VOLUME, Kind.SIDECAR_ALONE)


@dataclass(frozen=True)
class Repair:
    """Mends findings.

    Parameters
    ----------
    hub_id, ledger, repository
        Of this installation.
    specs
        The configured hosts.
    hypervisors
        Connections to those that answer, by name.
    """

    hub_id: str
    ledger: Ledger
    repository: Repository
    specs: Sequence[HostSpec]
    hypervisors: Mapping[str, Hypervisor]

    async def mend(self, findings: Sequence[Finding]) -> list[tuple[Finding, str]]:
        """Mend what can be; return what could not, each with the reason."""
        failed = []
        for finding in findings:
            if not finding.repair or finding.kind in _WRITTEN_DOWN:
                continue
            try:
                await self._one(finding)
            except CernVMError as error:
                failed.append((finding, error.detail))
        if any(finding.kind in _WRITTEN_DOWN and finding.repair for finding in findings):
            for spec in self.specs:
                if spec.name in self.hypervisors:
                    await rebuild(self, HostLink(spec, self.hypervisors[spec.name]))
        return failed

    async def _one(self, finding: Finding) -> None:
        sort, _, rest = finding.object.partition("/")
        if sort == "machine":
            await self._machine(finding.kind, rest)
        elif sort == "volume":
            await self._volume(finding.kind, *rest.split("/", 1))
        elif sort == "operation":
            async with self.ledger.store.write(Actor.system(), "check.repair", finding.object) as tx:
                problem = Conflict(_NOTHING).problem()
                await operations.finish(tx, rest, OperationStatus.FAILED, error=problem)

    async def _machine(self, kind: Kind, machine: str) -> None:
        row = await self.ledger.get(machine)
        if row is None:
            async with self.ledger.store.write(Actor.system(), "check.repair", f"machine/{machine}") as tx:
                await addresses.release(tx, machine)
            return
        if kind is Kind.RUNS:
            await self.hypervisors[row.host or ""].destroy(row.uuid)
        if kind is Kind.TELLS_ANOTHER:
            hypervisor = self.hypervisors[row.host or ""]
            state = await hypervisor.domain(row.uuid)
            if state is not None:
                await watch.retell(hypervisor, row, state)
            return
        async with self.ledger.change(machine) as (tx, current):
            if kind is Kind.NOT_RUNNING:
                error = HypervisorFailed(_ENDED)
                await let_go(tx, current)
                current.status, current.target = Status.FAILED, Target.STOPPED
                current.error = error.problem()
                await finish_operations(tx, current, OperationStatus.FAILED, error)
            elif kind is Kind.RUNS:
                await let_go(tx, current)
            elif kind is Kind.PROMISE:
                current.promised = current.status is Status.RUNNING
            elif kind is Kind.ADDRESS:
                await self._reserve(tx, current)

    async def _reserve(self, tx: Transaction, row: MachineRow) -> None:
        spec = next(spec.network for spec in self.specs if spec.network.name == row.network)
        index = int(IPv4Address(row.address or "")) - int(spec.address(0))
        holder = await addresses.owner_of(tx.session, spec.name, index)
        if holder not in (None, row.id):
            raise Conflict(f"The address is reserved for the machine {holder}; delete one of the two.")
        await addresses.release(tx, row.id)
        await addresses.reserve(tx, spec.name, index, row.id)

    async def _volume(self, kind: Kind, pool: str, name: str) -> None:
        parsed = naming.parse_volume(name)
        if kind in _REMOVED:
            # The one line that keeps users' work: whatever a finding says, the data of a home stays.
            if parsed is None or (parsed.kind is VolumeKind.HOME and not parsed.sidecar):
                raise Conflict(f"{name} is a home: a person decides about it.")
            await self._remove(kind, pool, name)
            return
        async with self.ledger.store.write(Actor.system(), "check.repair", f"pool/{pool}") as tx:
            home = await volumes.by_name(tx.session, pool, name)
            if home is None:
                raise NotFound(f"The home {name} is gone.")
            if kind is Kind.HOME_HELD:
                running = select(MachineRow.id).where(
                    MachineRow.home == home.id, MachineRow.status == Status.RUNNING
                )
                home.machine = (await tx.session.scalars(running)).first()
                await volumes.changed(tx, home)
                return
        await sidecar.write(self._of_pool(pool), self.hub_id, home)

    async def _remove(self, kind: Kind, pool: str, name: str) -> None:
        if kind is not Kind.ROW_WITHOUT_VOLUME:
            await self._of_pool(pool).delete_volume(pool, name)
        async with self.ledger.store.write(Actor.system(), "check.repair", f"pool/{pool}") as tx:
            tx.details["volume"] = name
            row = await volumes.by_name(tx.session, pool, name)
            if row is not None and (kind is Kind.ROW_WITHOUT_VOLUME or garbage.is_source(name)):
                await volumes.remove(tx, row)

    def _of_pool(self, pool: str) -> Hypervisor:
        return next(
            self.hypervisors[spec.name]
            for spec in self.specs
            if spec.pool.name == pool and spec.name in self.hypervisors
        )
