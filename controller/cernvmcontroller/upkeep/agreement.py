"""Whether the database and the hosts agree: a pure comparison of what both say, with what can be mended.

What is under way (a machine that starts or ends, a home that is being deleted) is left out: a controller goes
on with it. What a host that does not answer has is unknown, and never a finding.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from msgspec import Struct

from cernvmapi.models import Power, Status, VolumeKind
from cernvmcontroller import naming
from cernvmcontroller.machines import watch
from cernvmcontroller.machines.volumes import DELETION
from cernvmcontroller.upkeep import garbage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from cernvmcontroller.hypervisor.interface import DomainState, VolumeState
    from cernvmcontroller.hypervisor.specs import NetworkSpec
    from cernvmcontroller.machines.sidecar import Sidecar
    from cernvmcontroller.store.tables import AddressRow, MachineRow, OperationRow, VolumeRow

UNDER_WAY = (Status.STARTING, Status.STOPPING, Status.DELETING)


class Kind(StrEnum):
    """What does not agree."""

    DOMAIN_WITHOUT_ROW = "domain-without-row"
    COPIED_DOMAIN = "copied-domain"
    NOT_RUNNING = "machine-not-running"
    RUNS = "machine-runs"
    HOST_GONE = "host-not-configured"
    VOLUME_WITHOUT_ROW = "volume-without-row"
    ROW_WITHOUT_VOLUME = "row-without-volume"
    LEFT_OVER = "volume-left-over"
    HOME_LOST = "home-lost"
    HOME_UNKNOWN = "home-without-row"
    NO_SIDECAR = "home-without-sidecar"
    WRONG_SIDECAR = "sidecar-wrong"
    SIDECAR_ALONE = "sidecar-without-home"
    UNFINISHED = "upload-unfinished"
    ADDRESS = "address"
    ADDRESS_TWICE = "address-twice"
    ADDRESS_DIFFERS = "address-differs"
    TELLS_ANOTHER = "domain-tells-another"
    PROMISE = "promise"
    HOME_HELD = "home-held"
    HOME_TWICE = "home-twice"
    OPERATION = "operation"
    GARBAGE = "garbage"


class Finding(Struct, frozen=True):
    """Something on which they do not agree."""

    kind: Kind
    object: str
    """``machine/<id>``, ``volume/<pool>/<name>``, ``operation/<id>``, ``domain/<host>/<uuid>``"""
    sentence: str
    repair: str = ""
    """What ``--repair`` does about it; empty where a person has to decide."""


@dataclass(frozen=True)
class Books:
    """What the database says."""

    machines: Sequence[MachineRow] = ()
    volumes: Sequence[VolumeRow] = ()
    addresses: Sequence[AddressRow] = ()
    operations: Sequence[OperationRow] = ()
    """Those that run."""
    due: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Pool → bases that should have been removed long ago."""


@dataclass(frozen=True)
class HostSight:
    """What a host that answers says of its machines."""

    name: str
    pool: str
    domains: Mapping[str, DomainState]
    """By UUID."""
    files: Collection[str] = ()
    """What all its domains refer to."""


@dataclass(frozen=True)
class PoolSight:
    """What is in a pool of which at least one host answers."""

    name: str
    whole: bool
    """Whether all hosts of the pool answer."""
    volumes: Mapping[str, VolumeState]
    unfinished: Collection[str] = ()
    sidecars: Mapping[str, Sidecar | None] = field(default_factory=dict)
    """By volume id; None for one that cannot be read."""


@dataclass(frozen=True)
class Site:
    """Both, and what is configured."""

    hub_id: str
    books: Books
    hosts: Mapping[str, HostSight]
    pools: Mapping[str, PoolSight]
    configured: Collection[str]
    networks: Mapping[str, NetworkSpec]

    @property
    def moving(self) -> list[str]:
        """Ids of the machines that are under way."""
        return sorted(
            row.id
            for row in self.books.machines
            if row.status in UNDER_WAY or row.moving_to is not None or row.moved_from is not None
        )


def compare(site: Site) -> list[Finding]:
    """Return all on which database and hosts do not agree."""
    found = [
        *_domains(site),
        *_machines(site),
        *_addresses(site),
        *_homes_held(site),
        *_operations(site),
        *_rows(site),
    ]
    for pool in site.pools.values():
        found += _pool(site, pool)
    return sorted(found, key=lambda finding: (finding.object, finding.kind))


def persistent(first: Sequence[Finding], second: Sequence[Finding]) -> list[Finding]:
    """Return what was found both times; what moved in between is no finding."""
    before = {(finding.kind, finding.object) for finding in first}
    return [finding for finding in second if (finding.kind, finding.object) in before]


def _domains(site: Site) -> Iterator[Finding]:
    rows = {row.id for row in site.books.machines}
    for host in site.hosts.values():
        for domain in host.domains.values():
            metadata = domain.metadata
            if metadata is None or metadata.hub_id != site.hub_id:
                continue
            name = f"domain/{host.name}/{domain.uuid}"
            if domain.uuid != naming.domain_uuid(site.hub_id, metadata.machine_id):
                sentence = f"The domain {domain.name} says it is {metadata.machine_id}, and is a copy of it."
                yield Finding(Kind.COPIED_DOMAIN, name, sentence)
            elif metadata.machine_id not in rows:
                sentence = f"The domain {domain.name} is a machine of this hub that the database lacks."
                yield Finding(Kind.DOMAIN_WITHOUT_ROW, name, sentence, "The machine is written down.")


def _machines(site: Site) -> Iterator[Finding]:
    for row in site.books.machines:
        name = f"machine/{row.id}"
        if row.host is not None and row.host not in site.configured:
            sentence = f"The machine is on the host {row.host}, which is not configured: configure it again."
            yield Finding(Kind.HOST_GONE, name, sentence)
        host = site.hosts.get(row.host or "")
        if row.status in UNDER_WAY or row.moving_to is not None or host is None:
            continue
        domain = host.domains.get(row.uuid)
        on = domain is not None and domain.power is not Power.OFF
        if row.status is Status.RUNNING and not on:
            sentence = f"The machine should run on {host.name} and does not."
            yield Finding(Kind.NOT_RUNNING, name, sentence, "It is written down as ended.")
        elif row.status is not Status.RUNNING and on:
            sentence = f"The machine is {row.status.value} and runs on {host.name}."
            yield Finding(Kind.RUNS, name, sentence, "It is powered off.")
        if row.promised and row.status in (Status.STOPPED, Status.FAILED):
            sentence = f"The machine is {row.status.value} and holds a promise of {host.name}."
            yield Finding(Kind.PROMISE, name, sentence, "The promise is given back.")
        elif not row.promised and row.status is Status.RUNNING:
            sentence = f"The machine runs, and {host.name} promised it nothing."
            yield Finding(Kind.PROMISE, name, sentence, "It is promised what it has.")
        told = domain.metadata.address if domain and domain.metadata else row.address
        if told != row.address:
            sentence = f"The machine has the address {row.address}; its domain has {told}. Start it anew."
            yield Finding(Kind.ADDRESS_DIFFERS, name, sentence)
        if domain is not None and watch.differs(row, domain):
            sentence = f"The machine serves {row.owner}/{row.server_name}; its domain says somebody else."
            yield Finding(Kind.TELLS_ANOTHER, name, sentence, "The domain's metadata is written anew.")


def _addresses(site: Site) -> Iterator[Finding]:
    rows = {row.id: row for row in site.books.machines}
    held = {address.machine_id: address for address in site.books.addresses}
    shared = Counter((row.network, row.address) for row in rows.values() if row.address)
    for row in rows.values():
        name = f"machine/{row.id}"
        if row.address and shared[row.network, row.address] > 1:
            sentence = f"The address {row.address} is another machine's too; delete one of the two."
            yield Finding(Kind.ADDRESS_TWICE, name, sentence)
        spec = site.networks.get(row.network or "")
        if spec is None or row.address is None:
            continue
        address = held.get(row.id)
        index = int(IPv4Address(row.address)) - int(spec.address(0))
        if address is None or (address.network_id, address.index) != (row.network, index):
            sentence = f"The address {row.address} of the machine is not reserved for it."
            yield Finding(Kind.ADDRESS, name, sentence, "It is reserved, unless another machine has it.")
    for machine in held.keys() - rows.keys():
        sentence = f"An address is reserved for the machine {machine}, which there is not."
        yield Finding(Kind.ADDRESS, f"machine/{machine}", sentence, "The address is given back.")


def _homes_held(site: Site) -> Iterator[Finding]:
    rows = {row.id: row for row in site.books.machines}
    users: dict[str, list[str]] = {}
    for host in site.hosts.values():
        for domain in host.domains.values():
            if domain.metadata and domain.metadata.hub_id == site.hub_id and domain.power is not Power.OFF:
                users.setdefault(domain.metadata.home or "", []).append(domain.metadata.machine_id)
    for home in site.books.volumes:
        if home.kind is not VolumeKind.HOME:
            continue
        name, holder = f"volume/{home.pool}/{home.name}", rows.get(home.machine or "")
        if len(running := users.get(home.id, [])) > 1:
            sentence = f"The machines {', '.join(running)} run with one home: power off all but one, at once."
            yield Finding(Kind.HOME_TWICE, name, sentence)
        elif home.machine is not None and (
            holder is None or (holder.status not in (*UNDER_WAY, Status.RUNNING))
        ):
            sentence = f"The home is attached to the machine {home.machine}, which is off."
            yield Finding(Kind.HOME_HELD, name, sentence, "It is detached.")
        elif home.machine is None:
            wants = [row.id for row in rows.values() if row.home == home.id and row.status is Status.RUNNING]
            if wants:
                sentence = f"The machine {wants[0]} runs with the home, and it is attached to none."
                yield Finding(Kind.HOME_HELD, name, sentence, "It is attached to that machine.")


def _operations(site: Site) -> Iterator[Finding]:
    moving = {f"machine/{machine}" for machine in site.moving}
    for row in site.books.operations:
        if row.subject.startswith("machine/") and row.subject not in moving:
            sentence = f"{row.action} of {row.subject} runs, and nothing is done."
            yield Finding(Kind.OPERATION, f"operation/{row.id}", sentence, "It is ended as failed.")


def _rows(site: Site) -> Iterator[Finding]:
    moving, going = set(site.moving), _going(site)
    for row in site.books.volumes:
        pool = site.pools.get(row.pool)
        if pool is None or row.name in pool.volumes or row.id in going or row.machine in moving:
            continue
        name = f"volume/{row.pool}/{row.name}"
        if row.kind is not VolumeKind.HOME:
            sentence = f"The database has a {row.kind.value} {row.name} that is not in the pool."
            yield Finding(Kind.ROW_WITHOUT_VOLUME, name, sentence, "Its row is removed.")
        elif row.allocation_mib is not None:
            sentence = (
                f"The home of {row.owner} is not in the pool any more. Restore it from a backup under its "
                "name, or delete the volume: then a new one is made."
            )
            yield Finding(Kind.HOME_LOST, name, sentence)


def _going(site: Site) -> set[str]:
    """Return the ids of the homes that are being deleted."""
    return {row.subject.removeprefix("volume/") for row in site.books.operations if row.action == DELETION}


def _pool(site: Site, pool: PoolSight) -> Iterator[Finding]:
    rows = {row.name: row for row in site.books.volumes if row.pool == pool.name}
    moving = set(site.moving)
    for name in pool.unfinished:
        parsed = naming.parse_volume(name)
        if parsed is not None and parsed.id not in moving and not moving:
            sentence = f"The upload of {name} was never finished."
            yield Finding(
                Kind.UNFINISHED, f"volume/{pool.name}/{name}", sentence, "What is there is removed."
            )
    for name in pool.volumes:
        parsed = naming.parse_volume(name)
        if parsed is None or parsed.sidecar or name in rows:
            continue
        yield from _unknown(site, pool, name, parsed)
    for name in site.books.due.get(pool.name, ()):
        if name in pool.volumes and pool.whole:
            sentence = f"Nothing needs {name} for longer than it is kept."
            yield Finding(Kind.GARBAGE, f"volume/{pool.name}/{name}", sentence, "It is removed.")
    yield from _sidecars(site, pool, {row.id: row for row in rows.values()})


def _unknown(site: Site, pool: PoolSight, name: str, parsed: naming.VolumeName) -> Iterator[Finding]:
    """Tell of a volume that the database lacks."""
    where = f"volume/{pool.name}/{name}"
    if parsed.kind is VolumeKind.HOME:
        sidecar = pool.sidecars.get(parsed.id)
        if sidecar is None:
            sentence = f"Nobody knows whose home {name} is: it has neither a row nor a sidecar."
            yield Finding(Kind.HOME_UNKNOWN, where, sentence)
        elif sidecar.hub_id == site.hub_id:
            sentence = f"The home {name} of {sidecar.owner} is not in the database."
            yield Finding(Kind.HOME_UNKNOWN, where, sentence, "It is written down.")
        return
    if parsed.kind in (VolumeKind.DISK, VolumeKind.SEED):
        machine = next((row for row in site.books.machines if row.id == parsed.id), None)
        if machine is None:
            used = any(pool.volumes[name].path in host.files for host in site.hosts.values())
            if pool.whole and not used:
                sentence = f"{name} is of a machine that is gone."
                yield Finding(Kind.LEFT_OVER, where, sentence, "It is removed.")
            return
        if machine.status in UNDER_WAY:
            return
    if garbage.is_source(name) and site.moving:
        return  # it may just have come
    sentence = f"{name} is in the pool and not in the database."
    yield Finding(Kind.VOLUME_WITHOUT_ROW, where, sentence, "It is written down.")


def _sidecars(site: Site, pool: PoolSight, rows: Mapping[str, VolumeRow]) -> Iterator[Finding]:
    going, moving = _going(site), set(site.moving)
    for row in rows.values():
        if row.kind is not VolumeKind.HOME or row.name not in pool.volumes:
            continue
        if row.id in going or row.machine in moving:
            continue
        where, sidecar = f"volume/{pool.name}/{row.name}", pool.sidecars.get(row.id)
        if sidecar is None:
            sentence = f"The home of {row.owner} has no readable sidecar that says whose it is."
            yield Finding(Kind.NO_SIDECAR, where, sentence, "The sidecar is written from the database.")
        elif (sidecar.hub_id, sidecar.id, sidecar.owner, sidecar.server_name, sidecar.owner_id) != (
            site.hub_id,
            row.id,
            row.owner,
            row.server_name,
            row.owner_id,
        ):
            sentence = (
                f"The sidecar of the home of {row.owner} says that it is {sidecar.owner}'s, or another's."
            )
            yield Finding(Kind.WRONG_SIDECAR, where, sentence, "The sidecar is written from the database.")
    for volume_id, sidecar in pool.sidecars.items():
        gone = naming.home_volume(volume_id) not in pool.volumes and volume_id not in rows
        if gone and sidecar is not None and sidecar.hub_id == site.hub_id:
            where = f"volume/{pool.name}/{naming.sidecar_volume(volume_id)}"
            sentence = f"A sidecar of a home of {sidecar.owner} is there, and the home is not."
            yield Finding(Kind.SIDECAR_ALONE, where, sentence, "The sidecar is removed.")
