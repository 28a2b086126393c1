"""The tables, as they are at the newest migration.

Machines, volumes and operations have random ids; hosts, networks, pools and appliances have ids that an
administrator chose. A value of a `Record` column is replaced, never changed in place.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, MetaData, String, Text, event, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column, relationship

from cernvmapi.hosts import HostAttach
from cernvmapi.models import (
    Entry,
    FeedKind,
    Hardware,
    Level,
    MachineLock,
    MachineSize,
    OperationStatus,
    Origin,
    Phase,
    PhaseMark,
    Power,
    Problem,
    Status,
    Target,
    VolumeKind,
)
from cernvmcontroller.store.columns import Instant, Record, binary_text, named

_COUNTER = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts only in a column that is called INTEGER; there it has 64 bits."""


def _now() -> datetime:
    return datetime.now(UTC)


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Instant(),
        dict[str, str]: Record(dict[str, str]),
        dict[str, Any]: Record(dict[str, Any]),
        list[str]: Record(list[str]),
        str: String(255),
    }


class MetaRow(Table):
    """What there is one of: whose database this is, how far events were pruned, which hosts it knows."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class HostRow(Table):
    """A node that runs machines."""

    __tablename__ = "hosts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    uris: Mapped[list[str]]
    """Without credentials."""
    level: Mapped[Level] = mapped_column(named(Level), default=Level.NOTEBOOK)
    alive: Mapped[bool] = mapped_column(default=False)
    unknown_since: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    maintenance: Mapped[bool] = mapped_column(default=False)
    host_uuid: Mapped[str | None] = mapped_column(String(36))
    """As libvirt says it."""
    arch: Mapped[str] = mapped_column(default="")
    cpu_model: Mapped[str] = mapped_column(default="")
    cpus: Mapped[int] = mapped_column(default=0)
    memory_mib: Mapped[int] = mapped_column(default=0)
    acceleration: Mapped[str | None] = mapped_column(String(16))
    libvirt_version: Mapped[str] = mapped_column(default="")
    hypervisor_version: Mapped[str] = mapped_column(default="")
    cpu_features: Mapped[list[str]] = mapped_column(default=list)
    reached: Mapped[bool] = mapped_column(default=True)
    """The hub reaches its machines over their network."""
    labels: Mapped[dict[str, str]] = mapped_column(default=dict)
    notes: Mapped[str] = mapped_column(Text, default="")
    address: Mapped[str] = mapped_column(default="")
    """Where people reach it."""
    configured: Mapped[dict[str, Any] | None]
    """What the configuration said last of what the API changes too; None where it said nothing."""
    attached: Mapped[HostAttach | None] = mapped_column(Record(HostAttach))
    """How it was attached through the API; its secrets are named there, not given."""
    changed: Mapped[datetime] = mapped_column(default=_now, onupdate=_now)


class ClusterRow(Table):
    """A named set of hosts and machines; all are in the default one, which lists none."""

    __tablename__ = "clusters"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime] = mapped_column(default=_now)


class ClusterHostRow(Table):
    """That a host is in a cluster."""

    __tablename__ = "cluster_hosts"

    cluster_id: Mapped[str] = mapped_column(ForeignKey("clusters.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[str] = mapped_column(
        ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ClusterMachineRow(Table):
    """That a machine is in a cluster."""

    __tablename__ = "cluster_machines"

    cluster_id: Mapped[str] = mapped_column(ForeignKey("clusters.id", ondelete="CASCADE"), primary_key=True)
    machine_id: Mapped[str] = mapped_column(
        ForeignKey("machines.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class NetworkRow(Table):
    """Where machines get addresses."""

    __tablename__ = "networks"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    """Of the libvirt network."""
    cidr: Mapped[str] = mapped_column(String(64))
    gateway: Mapped[str] = mapped_column(String(64))
    bridge: Mapped[str] = mapped_column(String(64), default="")
    addresses: Mapped[int]
    """How many machines it can hold: indices 0 to this, exclusive."""
    reaches_hub: Mapped[bool] = mapped_column(default=True)
    hosts: Mapped[list[NetworkHostRow]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class NetworkHostRow(Table):
    """That a network exists on a host."""

    __tablename__ = "network_hosts"

    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)


class PoolRow(Table):
    """A libvirt storage pool."""

    __tablename__ = "pools"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    """Of the pool in libvirt."""
    path: Mapped[str] = mapped_column(Text, default="")
    shared: Mapped[bool] = mapped_column(default=False)
    capacity_mib: Mapped[int] = mapped_column(BigInteger, default=0)
    available_mib: Mapped[int] = mapped_column(BigInteger, default=0)
    alive: Mapped[bool] = mapped_column(default=True)
    hosts: Mapped[list[PoolHostRow]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class PoolHostRow(Table):
    """That a pool exists on a host."""

    __tablename__ = "pool_hosts"

    pool_id: Mapped[str] = mapped_column(ForeignKey("pools.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)


class ApplianceRow(Table):
    """An appliance of the repository; hidden, not deleted, while machines use it."""

    __tablename__ = "appliances"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str]
    version: Mapped[str]
    description: Mapped[str] = mapped_column(Text, default="")
    logo: Mapped[str | None] = mapped_column(Text)
    arch: Mapped[str] = mapped_column(String(32), default="x86_64")
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    virtual_size_mib: Mapped[int]
    min_memory_mib: Mapped[int] = mapped_column(default=256)
    min_vcpus: Mapped[int] = mapped_column(default=1)
    context: Mapped[list[str]] = mapped_column(default=lambda: ["nocloud"])
    agent_protocol: Mapped[int | None]
    notebook: Mapped[bool] = mapped_column(default=True)
    hardware: Mapped[Hardware] = mapped_column(Record(Hardware), default=Hardware)
    default: Mapped[bool] = mapped_column(default=False)
    hidden: Mapped[bool] = mapped_column(default=False)
    origin: Mapped[Origin | None] = mapped_column(Record(Origin))
    updated: Mapped[datetime]
    path: Mapped[str] = mapped_column(Text, default="")
    """Of the image file, where the controller uploads it from."""


class FeedRow(Table):
    """A feed, and how reading it went."""

    __tablename__ = "feeds"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str]
    url: Mapped[str] = mapped_column(Text)
    configured: Mapped[bool] = mapped_column(default=False)
    enabled: Mapped[bool] = mapped_column(default=True)
    interval: Mapped[int]
    """Seconds."""
    allow_http: Mapped[bool] = mapped_column(default=False)
    authority: Mapped[str | None] = mapped_column(Text)
    """Certificates (PEM) of who may sign it."""
    kind: Mapped[FeedKind | None] = mapped_column(named(FeedKind))
    description: Mapped[str] = mapped_column(Text, default="")
    entries: Mapped[int] = mapped_column(default=0)
    """How many it has, kept so that a list of feeds counts nothing."""
    signer: Mapped[str | None] = mapped_column(Text)
    expires: Mapped[datetime | None]
    checked: Mapped[datetime | None]
    updated: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    """How often in a row; the pause before the next attempt grows with it."""
    error: Mapped[str] = mapped_column(Text, default="")
    next_check: Mapped[datetime | None]
    etag: Mapped[str | None] = mapped_column(Text)
    last_modified: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str | None] = mapped_column(String(64))
    """Of the content that was read: a server without validators costs no reading either."""
    created: Mapped[datetime] = mapped_column(default=_now)


class FeedEntryRow(Table):
    """What a feed offers; replaced as the feed changes."""

    __tablename__ = "feed_entries"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Made of feed and guid, so that an entry keeps it."""
    feed: Mapped[str] = mapped_column(ForeignKey("feeds.id", ondelete="CASCADE"))
    said: Mapped[Entry] = mapped_column(Record(Entry))
    category: Mapped[str]
    arch: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64))
    """Of `said`: what did not change is not written again."""

    title_key: Mapped[str] = mapped_column(binary_text(255))
    category_key: Mapped[str] = mapped_column(binary_text(255))
    updated_key: Mapped[datetime]
    """1970 where it is not known."""
    size_key: Mapped[int] = mapped_column(BigInteger)
    """Bytes; 0 where it is not known."""
    search_text: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index("ix_feed_entries_by_title", "title_key", "id"),
        Index("ix_feed_entries_by_category", "category_key", "id"),
        Index("ix_feed_entries_by_updated", "updated_key", "id"),
        Index("ix_feed_entries_by_size", "size_key", "id"),
        Index("ix_feed_entries_by_feed", "feed", "id"),
    )


class MachineRow(Table):
    """A machine: what should be (``target``), what is made of it (``status``) and how far a start is.

    Changed through objects only: the columns that lists are sorted and searched by follow at each flush.
    """

    __tablename__ = "machines"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    owner: Mapped[str | None]
    server_name: Mapped[str | None]
    notebook: Mapped[bool] = mapped_column(default=False)
    """It serves a hub server: its start waits for a session."""
    appliance: Mapped[str] = mapped_column(String(64), index=True)
    appliance_title: Mapped[str]
    flavor: Mapped[str] = mapped_column(String(64))
    vcpus: Mapped[int]
    memory_mib: Mapped[int]
    disk_mib: Mapped[int]
    cluster: Mapped[str | None] = mapped_column(String(64), index=True)
    """That it was placed in; which ones it is in is said by `ClusterMachineRow`."""
    apart: Mapped[str | None] = mapped_column(String(64), index=True)
    """The group, of which no host runs two."""
    host: Mapped[str | None] = mapped_column(ForeignKey("hosts.id"))
    promised: Mapped[bool] = mapped_column(default=False)
    """Its vCPUs and memory are promised on its host: see `inventory.promise`."""
    hypervisor: Mapped[str | None] = mapped_column(Text)
    acceleration: Mapped[str | None] = mapped_column(String(16))
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    network: Mapped[str | None] = mapped_column(ForeignKey("networks.id"))
    address: Mapped[str | None] = mapped_column(String(64))
    mac: Mapped[str | None] = mapped_column(String(32))
    port: Mapped[int | None]
    home: Mapped[str | None] = mapped_column(String(64), index=True)
    """The home volume that it uses when it runs; `VolumeRow.machine` says who has it now."""
    status: Mapped[Status] = mapped_column(named(Status), default=Status.PENDING)
    target: Mapped[Target] = mapped_column(named(Target), default=Target.STOPPED)
    power: Mapped[Power] = mapped_column(named(Power), default=Power.OFF)
    unknown_since: Mapped[datetime | None]
    step: Mapped[str | None] = mapped_column(String(64))
    """The step that was begun last, persisted before it is done."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often the reconciler failed in a row; back-off grows with it."""
    session_id: Mapped[str | None] = mapped_column(String(64))
    """Which session the machine was given; the session itself is never written."""
    phase: Mapped[Phase | None] = mapped_column(named(Phase))
    progress: Mapped[int] = mapped_column(default=0)
    timeline: Mapped[list[PhaseMark]] = mapped_column(Record(list[PhaseMark]), default=list)
    awaiting_session: Mapped[bool] = mapped_column(default=False)
    error: Mapped[Problem | None] = mapped_column(Record(Problem))
    console_tail: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(default=dict)
    notes: Mapped[str] = mapped_column(Text, default="")
    protected: Mapped[bool] = mapped_column(default=False)
    suspended: Mapped[bool] = mapped_column(default=False)
    """The hub had it paused, and its host did not do that by itself."""
    stored: Mapped[bool] = mapped_column(default=False)
    """Its memory is on the host's disk."""
    lock: Mapped[MachineLock | None] = mapped_column(Record(MachineLock))
    pending: Mapped[MachineSize | None] = mapped_column(Record(MachineSize))
    """What it shall have from its next start on."""
    moving_to: Mapped[str | None] = mapped_column(String(64), index=True)
    """The host to which it is being moved, which has promised it its room too."""
    moving_step: Mapped[str | None] = mapped_column(String(16))
    """How far that is, persisted before it is done."""
    moved_from: Mapped[str | None] = mapped_column(String(64), index=True)
    """A host where something of it may be left that has to be removed."""
    revision: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime] = mapped_column(default=_now)
    changed: Mapped[datetime] = mapped_column(default=_now)

    name_key: Mapped[str] = mapped_column(binary_text(255))
    owner_key: Mapped[str] = mapped_column(binary_text(255))
    host_key: Mapped[str] = mapped_column(binary_text(64))
    search_text: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        # A hub server has one machine; one that is on its way out does not count.
        Index(
            "uq_machines_server",
            "owner",
            "server_name",
            unique=True,
            sqlite_where=text("notebook = 1 AND target <> 'deleted'"),
            postgresql_where=text("notebook AND target <> 'deleted'"),
        ),
        Index("ix_machines_owner", "owner"),
        Index("ix_machines_promises", "host", "promised", "vcpus", "memory_mib"),
        Index("ix_machines_by_name", "name_key", "id"),
        Index("ix_machines_by_owner", "owner_key", "id"),
        Index("ix_machines_by_host", "host_key", "id"),
        Index("ix_machines_by_status", "status", "id"),
        Index("ix_machines_by_created", "created", "id"),
    )


@event.listens_for(MachineRow, "before_insert")
@event.listens_for(MachineRow, "before_update")
def _follow(mapper: Mapper[MachineRow], connection: Any, row: MachineRow) -> None:
    """Fold case in Python: SQLite knows only ASCII's, PostgreSQL its locale's."""
    del mapper, connection
    name, owner, host = row.name.casefold(), (row.owner or "").casefold(), row.host or ""
    # Cut: folding may lengthen, and PostgreSQL's indices take 2,700 bytes.
    row.name_key, row.owner_key, row.host_key = name[:255], owner[:255], host
    row.search_text = "\n".join([name, owner, row.address or "", row.id, host])


class AddressRow(Table):
    """An address of a network that is reserved for a machine."""

    __tablename__ = "addresses"

    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    machine_id: Mapped[str] = mapped_column(ForeignKey("machines.id", ondelete="CASCADE"), unique=True)


class ReleasedAddressRow(Table):
    """An address that a machine had and none has now; without a row it was never given."""

    __tablename__ = "released_addresses"

    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    turn: Mapped[int] = mapped_column(BigInteger)
    """The lowest of a network is free for the longest time."""


class VolumeRow(Table):
    """A volume that the hub made in a pool."""

    __tablename__ = "volumes"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[VolumeKind] = mapped_column(named(VolumeKind))
    name: Mapped[str]
    """Of the volume in libvirt."""
    pool: Mapped[str] = mapped_column(ForeignKey("pools.id"))
    owner: Mapped[str | None] = mapped_column(index=True)
    server_name: Mapped[str | None]
    owner_id: Mapped[str | None] = mapped_column(index=True)
    """Which account of the name `owner` a home is for."""
    capacity_mib: Mapped[int] = mapped_column(BigInteger, default=0)
    allocation_mib: Mapped[int | None] = mapped_column(BigInteger)
    machine: Mapped[str | None] = mapped_column(ForeignKey("machines.id", ondelete="SET NULL"), index=True)
    """The machine that it is attached to."""
    created: Mapped[datetime] = mapped_column(default=_now)

    __table_args__ = (
        Index("uq_volumes_pool_name", "pool", "name", unique=True),
        Index("ix_volumes_by_created", "created", "id"),
        # A server has one home, wherever it lies.
        Index(
            "uq_volumes_home",
            "owner",
            "server_name",
            unique=True,
            sqlite_where=text("kind = 'home'"),
            postgresql_where=text("kind = 'home'"),
        ),
    )


class OperationRow(Table):
    """A long-running request."""

    __tablename__ = "operations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(index=True)
    actor: Mapped[str]
    owner: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[OperationStatus] = mapped_column(named(OperationStatus), default=OperationStatus.RUNNING)
    progress: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[Problem | None] = mapped_column(Record(Problem))
    cancellable: Mapped[bool] = mapped_column(default=False)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What a restarted controller needs to go on; no secrets."""
    created: Mapped[datetime] = mapped_column(default=_now)
    finished: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_operations_by_status", "status"),
        Index("ix_operations_by_created", "created", "id"),
    )


class EventRow(Table):
    """Something that happened; ids are never used again, not even after the newest rows were pruned."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(_COUNTER, primary_key=True)
    type: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str]
    owner: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(default=_now, index=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)

    __table_args__ = (
        Index("ix_events_owner_id", "owner", "id"),
        {"sqlite_autoincrement": True},
    )


class AuditRow(Table):
    """Who did what to which object, when, from where. Only ever added to."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(_COUNTER, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=_now, index=True)
    actor: Mapped[str] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(index=True)
    outcome: Mapped[str] = mapped_column(String(64), default="accepted")
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)

    __table_args__ = ({"sqlite_autoincrement": True},)
