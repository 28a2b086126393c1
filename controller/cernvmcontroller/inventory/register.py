"""What the database says of hosts: who they are, what exists on them, whether they answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from cernvmcontroller.store import inventory as rows
from cernvmcontroller.store.tables import HostRow, NetworkRow, PoolRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cernvmapi.hosts import HostAttach
    from cernvmcontroller.inventory.hostlink import HostLink
    from cernvmcontroller.inventory.hostspec import HostSpec
    from cernvmcontroller.store import Transaction

NOT_YET = "not connected yet"
_GONE = "not configured any more"


async def load(
    tx: Transaction, specs: Mapping[str, HostSpec], unusable: Mapping[str, str], configured: Iterable[str]
) -> None:
    """Write down the hosts at the controller's start; none answers yet.

    Parameters
    ----------
    specs
        All that can be connected to, by name.
    unusable
        Those that were attached and cannot be connected to, and why.
    configured
        Names of those that come from the configuration.
    """
    now = datetime.now(UTC)
    for row in await rows.hosts(tx.session):
        reason = NOT_YET if row.id in specs else unusable.get(row.id, _GONE)
        since = row.unknown_since or now
        await rows.put_host(tx, HostRow(id=row.id, alive=False, unknown_since=since, reason=reason))
    for spec in specs.values():
        known = await tx.session.get(HostRow, spec.name)
        await rows.put_host(tx, _configured(spec, known) if spec.name in configured else _attached(spec))
    await exist(tx, specs, alive=False)


async def enter(tx: Transaction, spec: HostSpec, request: HostAttach) -> None:
    """Write down a host that is attached through the API."""
    row = _attached(spec)
    row.name, row.alive, row.reason = spec.name, False, NOT_YET
    row.attached, row.configured = request, None
    row.labels, row.maintenance = request.labels, request.maintenance
    row.notes, row.address = request.notes, request.address
    await rows.put_host(tx, row)


async def exist(tx: Transaction, specs: Mapping[str, HostSpec], *, alive: bool | None = None) -> None:
    """Write down on which hosts each network and each pool exists.

    Parameters
    ----------
    alive
        Whether the pools can be used; None: as far as is known.
    """
    networks: dict[str, list[HostSpec]] = {}
    pools: dict[str, list[HostSpec]] = {}
    for spec in specs.values():
        if spec.networked:
            networks.setdefault(spec.network.name, []).append(spec)
        if spec.provisions:
            pools.setdefault(spec.pool.name, []).append(spec)
    for name, group in networks.items():
        network = group[0].network
        row = NetworkRow(
            id=name,
            name=name,
            cidr=str(network.cidr),
            gateway=str(network.gateway),
            bridge=network.bridge,
            addresses=network.hosts,
            reaches_hub=any(spec.reached for spec in group),
        )
        await rows.put_network(tx, row, [spec.name for spec in group])
    known = set(await tx.session.scalars(select(PoolRow.id)))
    for name, group in pools.items():
        pool = PoolRow(id=name, name=name, path=group[0].pool.path, shared=group[0].shared)
        if alive is not None or name not in known:
            pool.alive = bool(alive)
        await rows.put_pool(tx, pool, [spec.name for spec in group])


async def answers(tx: Transaction, link: HostLink) -> None:
    """Write down that a host answers, and what it is; nothing where it was detached meanwhile."""
    seen = link.capabilities
    if seen is None or await tx.session.get(HostRow, link.id) is None:
        return
    row = HostRow(
        id=link.id,
        alive=True,
        unknown_since=None,
        reason=link.spec.why_not_more,
        host_uuid=seen.host_uuid,
        arch=seen.arch,
        cpu_model=seen.cpu_model,
        cpu_features=sorted(seen.cpu_features),
        cpus=seen.cpus,
        memory_mib=seen.memory_mib,
        libvirt_version=seen.libvirt_version,
        hypervisor_version=seen.hypervisor_version,
        acceleration=link.known_acceleration(),
    )
    await rows.put_host(tx, row)


async def silent(tx: Transaction, link: HostLink) -> None:
    """Write down that a host does not answer, and since when; nothing where it was detached meanwhile."""
    row = await tx.session.get(HostRow, link.id)
    if row is None:
        return
    since = row.unknown_since or datetime.now(UTC)
    await rows.put_host(tx, HostRow(id=link.id, alive=False, unknown_since=since, reason=link.reason))


async def pool_silent(tx: Transaction, pool: str, hosts: Sequence[str]) -> None:
    """Write down that none of a pool's hosts answers; nothing where there is no such pool of ours."""
    if await tx.session.get(PoolRow, pool) is not None:
        await rows.put_pool(tx, PoolRow(id=pool, alive=False), hosts)


def _attached(spec: HostSpec) -> HostRow:
    return HostRow(id=spec.name, uris=[spec.shown_uri], level=spec.level, reached=spec.reached)


def _configured(spec: HostSpec, known: HostRow | None) -> HostRow:
    """Return a configured host as it is now: what the configuration says goes first, the API's stays.

    What the configuration said at the last start and says no more is no longer so.
    """
    row = _attached(spec)
    row.configured = {"labels": spec.labels, "maintenance": spec.maintenance}
    row.attached = None
    if known is None:
        row.name, row.alive, row.reason = spec.name, False, NOT_YET
        row.labels, row.maintenance = spec.labels, spec.maintenance
        return row
    # A database of before clusters knows the configuration's only.
    before = known.configured or {"labels": known.labels, "maintenance": known.maintenance}
    if known.attached is not None:
        before = {"labels": {}, "maintenance": False}
    own = {key: value for key, value in known.labels.items() if before["labels"].get(key) != value}
    row.labels = own | spec.labels
    row.maintenance = spec.maintenance or (known.maintenance and not before["maintenance"])
    return row
