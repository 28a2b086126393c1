"""A lost database, rebuilt from what the hosts know: homes from their sidecars, machines from their domains.

Only what is of this hub is taken; nothing on a host is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from lxml import etree
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cernvmapi.errors import CernVMError, HypervisorFailed, NotFound
from cernvmapi.models import Power, Status, Target, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.lifecycle import SAVED
from cernvmcontroller.machines import sidecar as sidecars
from cernvmcontroller.machines.ledger import changed
from cernvmcontroller.store import Actor, addresses, machines, volumes
from cernvmcontroller.store.tables import MachineRow, VolumeRow

if TYPE_CHECKING:
    from cernvmcontroller.hypervisor.interface import DomainState, VolumeState
    from cernvmcontroller.hypervisor.specs import MachineMetadata, NetworkSpec
    from cernvmcontroller.inventory import HostLink
    from cernvmcontroller.machines.ledger import Ledger
    from cernvmcontroller.repository import Repository

_log = structlog.get_logger(__name__)
_MIB = 1024 * 1024
_UNITS = {
    "b": 1,
    "bytes": 1,
    "kib": 1024,
    "k": 1024,
    "mib": _MIB,
    "m": _MIB,
    "gib": 1024 * _MIB,
    "g": 1024 * _MIB,
}


class Registry(Protocol):
    """What is needed to write down what a host has."""

    @property
    def hub_id(self) -> str:
        """Of this installation."""
        ...

    @property
    def ledger(self) -> Ledger:
        """The rows of machines."""
        ...

    @property
    def repository(self) -> Repository:
        """Knows the titles of appliances."""
        ...


@dataclass(frozen=True)
class Size:
    """Of a machine, as its domain says it."""

    vcpus: int
    memory_mib: int


async def rebuild(shop: Registry, host: HostLink) -> None:
    """Write down what a host has of this hub and the database does not know.

    Raises
    ------
    HypervisorFailed
        The host could not tell of everything; what it could tell of is written down.
    """
    there = {state.name: state for state in await host.hypervisor.volumes(host.spec.pool.name)}
    domains = await host.hypervisor.domains()
    async with shop.ledger.store.read() as session:
        known = frozenset(await machines.all_ids(session))
    unknown = [each for each in domains if each.metadata is None or each.metadata.machine_id not in known]
    homes = [parsed.id for parsed in map(naming.parse_volume, there) if parsed and parsed.sidecar]
    failed: HypervisorFailed | None = None
    for take in (
        *(partial(_home, shop, host, volume_id, there) for volume_id in homes),
        *(partial(_take_back, shop, host, domain, there) for domain in unknown),
        partial(_volumes, shop, host, there),
    ):
        try:
            await take()
        except HypervisorFailed as error:
            failed = error
    if failed is not None:
        raise failed


async def _take_back(
    shop: Registry, host: HostLink, domain: DomainState, there: dict[str, VolumeState]
) -> None:
    """Write a domain down if it is a machine of this hub that the database does not know."""
    metadata = domain.metadata
    if metadata is None or metadata.hub_id != shop.hub_id or not naming.is_id(metadata.machine_id, "m"):
        return
    if domain.uuid != naming.domain_uuid(shop.hub_id, metadata.machine_id):
        return  # a copy that somebody made by hand
    if await shop.ledger.get(metadata.machine_id) is not None:
        return  # made since the host was asked
    try:
        await _machine(shop, host, domain, metadata, there)
    except IntegrityError as error:
        _log.warning("machine not taken back", machine=metadata.machine_id, reason=str(error.orig))
    except NotFound:
        return  # gone since the list was made


async def _home(shop: Registry, host: HostLink, volume_id: str, there: dict[str, VolumeState]) -> None:
    pool = host.spec.pool.name
    state = there.get(naming.home_volume(volume_id))
    if state is None:
        return
    async with shop.ledger.store.read() as session:
        if await volumes.by_name(session, pool, state.name) is not None:
            return
    try:
        raw = await host.hypervisor.read_volume(pool, naming.sidecar_volume(volume_id), sidecars.LARGEST)
        sidecar = sidecars.decode(raw)
    except (NotFound, msgspec.MsgspecError) as error:
        _log.warning("a home without a readable sidecar", volume=state.name, reason=str(error))
        return
    if sidecar.hub_id != shop.hub_id or sidecar.id != volume_id:
        return
    try:
        async with shop.ledger.store.write(Actor.system(), "volume.rebuild", f"volume/{volume_id}") as tx:
            # Its machine may have been taken back before, when the home could not be read.
            holder = select(MachineRow.id).where(MachineRow.home == volume_id, MachineRow.power != Power.OFF)
            await volumes.add(
                tx,
                VolumeRow(
                    id=volume_id,
                    kind=VolumeKind.HOME,
                    name=state.name,
                    pool=pool,
                    owner=sidecar.owner,
                    server_name=sidecar.server_name,
                    owner_id=sidecar.owner_id,
                    capacity_mib=state.capacity // _MIB,
                    allocation_mib=state.allocation // _MIB,
                    machine=(await tx.session.scalars(holder)).first(),
                    created=sidecar.created
                    if sidecar.created.tzinfo
                    else sidecar.created.replace(tzinfo=UTC),
                ),
            )
    except IntegrityError as error:
        _log.warning("home not taken back", volume=state.name, reason=str(error.orig))


async def _volumes(shop: Registry, host: HostLink, there: dict[str, VolumeState]) -> None:
    """Write down bases, layers, and the disks and seeds of known machines."""
    pool = host.spec.pool.name
    async with shop.ledger.store.read() as session:
        query = select(VolumeRow.name).where(VolumeRow.pool == pool)
        unknown = sorted(there.keys() - set(await session.scalars(query)))
    for name in unknown:
        parsed = naming.parse_volume(name)
        if parsed is None or parsed.kind is VolumeKind.HOME:
            continue
        async with shop.ledger.store.write(
            Actor.system(), "volume.rebuild", f"pool/{pool}", audit=False
        ) as tx:
            own = parsed.kind in (VolumeKind.DISK, VolumeKind.SEED)
            machine = await tx.session.get(MachineRow, parsed.id) if own else None
            if (own and machine is None) or await volumes.by_name(tx.session, pool, name) is not None:
                continue
            await volumes.add(
                tx,
                VolumeRow(
                    id=naming.new_id("v"),
                    kind=parsed.kind,
                    name=name,
                    pool=pool,
                    owner=machine.owner if machine else None,
                    server_name=machine.server_name if machine else None,
                    capacity_mib=-(-there[name].capacity // _MIB),
                    allocation_mib=-(-there[name].allocation // _MIB),
                    machine=machine.id if machine else None,
                ),
            )


async def _machine(
    shop: Registry,
    host: HostLink,
    domain: DomainState,
    metadata: MachineMetadata,
    there: dict[str, VolumeState],
) -> None:
    size = _size(await host.hypervisor.domain_xml(domain.uuid))
    machine_id, network = metadata.machine_id, host.spec.network
    index = _index(network, metadata.address)
    on = domain.power is not Power.OFF
    async with shop.ledger.store.write(Actor.system(), "machine.rebuild", f"machine/{machine_id}") as tx:
        row = MachineRow(
            id=machine_id,
            name=metadata.owner or machine_id,
            owner=metadata.owner,
            server_name=metadata.server_name,
            notebook=metadata.notebook,
            appliance=metadata.appliance or "",
            appliance_title=_title(shop, metadata.appliance),
            flavor=metadata.flavor or "",
            vcpus=size.vcpus,
            memory_mib=size.memory_mib,
            disk_mib=0,
            cluster=metadata.cluster,
            host=host.id,
            promised=on,
            hypervisor=host.spec.shown_uri,
            uuid=domain.uuid,
            network=network.name if index is not None else None,
            address=str(network.address(index)) if index is not None else metadata.address,
            mac=network.mac(index) if index is not None else None,
            port=metadata.port,
            home=metadata.home,
            status=Status.RUNNING if on else Status.STOPPED,
            target=Target.RUNNING if on else Target.STOPPED,
            power=domain.power,
            stored=domain.reason == SAVED,
        )
        tx.session.add(row)
        await tx.session.flush()
        if index is not None:
            await addresses.reserve(tx, network.name, index, machine_id)
        for kind, name in (
            (VolumeKind.DISK, naming.disk_volume(machine_id)),
            (VolumeKind.SEED, naming.seed_volume(machine_id)),
        ):
            state = there.get(name)
            if state is None:
                continue
            capacity = state.capacity // _MIB
            if kind is VolumeKind.DISK:
                row.disk_mib = capacity
            if await volumes.by_name(tx.session, host.spec.pool.name, name) is None:
                await volumes.add(
                    tx,
                    VolumeRow(
                        id=naming.new_id("v"),
                        kind=kind,
                        name=name,
                        pool=host.spec.pool.name,
                        owner=metadata.owner,
                        server_name=metadata.server_name,
                        capacity_mib=capacity,
                        machine=machine_id,
                    ),
                )
        home = await tx.session.get(VolumeRow, metadata.home) if on and metadata.home else None
        if home is not None and home.machine is not None:
            _log.error("two machines run with one home", home=home.id, machines=[home.machine, machine_id])
        elif home is not None:
            await volumes.attach(tx, home, machine_id)
        await changed(tx, row)
    _log.info("machine taken back", machine=machine_id, host=host.id)


def _title(shop: Registry, appliance: str | None) -> str:
    try:
        return shop.repository.choose(appliance or "").appliance.title
    except CernVMError:
        return appliance or "unknown"


def _index(network: NetworkSpec, address: str | None) -> int | None:
    """Return which entry of a network an address is."""
    try:
        index = int(IPv4Address(address or "")) - int(network.address(0))
    except ValueError:
        return None
    return index if 0 <= index < network.hosts else None


def _size(xml: str) -> Size:
    root = etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    memory = root.find("memory")
    mib = 0
    if memory is not None and memory.text:
        mib = int(memory.text) * _UNITS.get((memory.get("unit") or "KiB").lower(), 1024) // _MIB
    return Size(int(root.findtext("vcpu") or "1"), mib)
