"""Looking at database and hosts for `cernvmcontroller.upkeep.agreement`; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from cernvmapi.errors import CernVMError, NotFound
from cernvmcontroller import naming
from cernvmcontroller.machines import sidecar
from cernvmcontroller.store import operations
from cernvmcontroller.store.tables import AddressRow, MachineRow, MetaRow, VolumeRow
from cernvmcontroller.upkeep import garbage
from cernvmcontroller.upkeep.agreement import Books, HostSight, PoolSight, Site
from cernvmcontroller.upkeep.sweep import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from cernvmcontroller.hypervisor.interface import Hypervisor
    from cernvmcontroller.inventory import HostSpec

_PATIENCE = timedelta(hours=2)
"""What is garbage is removed hourly: longer than this past its time it is a finding."""


@dataclass(frozen=True)
class Look:
    """What was seen, and what could not be."""

    site: Site
    silent: Mapping[str, str] = field(default_factory=dict)
    """Hosts that did not answer, and why."""


async def look(
    hub_id: str,
    session: AsyncSession,
    specs: Sequence[HostSpec],
    hypervisors: Mapping[str, Hypervisor],
    keep_unused: float,
) -> Look:
    """Return what database and hosts say now.

    Parameters
    ----------
    session
        For reading.
    specs
        The configured hosts.
    hypervisors
        Their connections, by the hosts' names; one that is missing does not answer.
    keep_unused
        Seconds that a base is kept after its last use.
    """
    books = await _books(session, timedelta(seconds=keep_unused) + _PATIENCE)
    hosts: dict[str, HostSight] = {}
    silent: dict[str, str] = {}
    for spec in specs:
        hypervisor = hypervisors.get(spec.name)
        try:
            if hypervisor is None or not hypervisor.alive:
                silent[spec.name] = hypervisor.reason if hypervisor else "it is not connected"
                continue
            domains = {state.uuid: state for state in await hypervisor.domains()}
            hosts[spec.name] = HostSight(spec.name, spec.pool.name, domains, await files(hypervisor))
        except CernVMError as error:
            silent[spec.name] = error.detail
    pools: dict[str, PoolSight] = {}
    for spec in specs:
        if spec.name in hosts and spec.pool.name not in pools:
            group = {other.name for other in specs if other.pool.name == spec.pool.name}
            try:
                pool = await _pool(hypervisors[spec.name], spec.pool.name, whole=group <= hosts.keys())
            except CernVMError as error:
                silent[spec.name] = error.detail
            else:
                pools[spec.pool.name] = pool
    networks = {spec.network.name: spec.network for spec in specs}
    return Look(Site(hub_id, books, hosts, pools, [spec.name for spec in specs], networks), silent)


async def _books(session: AsyncSession, keep: timedelta) -> Books:
    unused = await session.get(MetaRow, garbage.KEY)
    record = garbage.read(unused.value if unused else None)
    now = datetime.now(UTC)
    return Books(
        machines=(await session.scalars(select(MachineRow))).all(),
        volumes=(await session.scalars(select(VolumeRow))).all(),
        addresses=(await session.scalars(select(AddressRow))).all(),
        operations=await operations.running(session),
        due={pool: garbage.due(record, pool, now, keep) for pool in record},
    )


async def _pool(hypervisor: Hypervisor, pool: str, *, whole: bool) -> PoolSight:
    there = {state.name: state for state in await hypervisor.volumes(pool)}
    sidecars = {}
    for parsed in map(naming.parse_volume, there):
        if parsed is not None and parsed.sidecar:
            sidecars[parsed.id] = await _sidecar(hypervisor, pool, parsed.id)
    return PoolSight(pool, whole, there, await hypervisor.unfinished(pool), sidecars)


async def _sidecar(hypervisor: Hypervisor, pool: str, volume_id: str) -> sidecar.Sidecar | None:
    try:
        return sidecar.decode(
            await hypervisor.read_volume(pool, naming.sidecar_volume(volume_id), sidecar.LARGEST)
        )
    except (NotFound, msgspec.MsgspecError):
        return None
