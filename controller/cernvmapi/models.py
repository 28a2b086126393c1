"""The objects that go over the wire, defined once.

The controller encodes them, the clients decode them and the OpenAPI document is generated from them.
Objects that a client sends (``*Create``, `Session`) refuse unknown fields; objects that the controller sends
tolerate them, so that an older client reads a newer controller.

Sizes are in MiB or bytes, as each field's name or description says; instants are UTC.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct, field

API_PREFIX = "/services/cernvm/api/v1"
"""Where the controller serves this contract."""

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1, max_length=255)]
"""What a person typed: any script, never used as a path, a domain name or a certificate name."""

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$(?!\n)")]
"""An identifier that an administrator chose: safe in URLs, paths and XML."""

EnvName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]

OwnerId = Annotated[str, Meta(min_length=1, max_length=255)]
"""An account beyond its name, which another account may get later; opaque, made by the hub."""

Label = Annotated[str, Meta(max_length=255)]

CpuFeature = Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,64}$")]


class Received(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send."""


class Sent(Struct, frozen=True, kw_only=True):
    """Base of what the controller sends."""


# --- machines ---


class Status(StrEnum):
    """What the controller makes of a machine; `Power` is what libvirt sees."""

    PENDING = "pending"
    """Known, and nothing of it exists on a host."""
    STARTING = "starting"
    RUNNING = "running"
    """Its domain runs and, where it has a session, its notebook server answers."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """It could not be brought to its target; `Machine.error` says why."""
    DELETING = "deleting"


class Target(StrEnum):
    """Where the reconciler takes a machine."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Power(StrEnum):
    """Three-valued knowledge of the domain, and paused."""

    ON = "on"
    PAUSED = "paused"
    OFF = "off"
    UNKNOWN = "unknown"
    """Its host does not answer: neither running nor stopped may be concluded."""


class Phase(StrEnum):
    """The steps of a start, in their order."""

    PLACED = "placed"
    DISK = "disk"
    BOOT = "boot"
    CONTEXT = "context"
    SERVER = "server"
    READY = "ready"


class PhaseMark(Sent, frozen=True, kw_only=True):
    """That a phase of a start was reached (`PLACED`: a host is chosen; `READY`: the server answers)."""

    phase: Phase
    message: str
    """One sentence for the person who waits."""
    progress: int
    """Percent of the whole start, 0 to 100."""
    at: datetime


class Problem(Sent, frozen=True, kw_only=True):
    """RFC 9457 problem details, the one shape of every error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """A sentence for the person who reads it; it says what to do next."""
    code: str
    """Stable, for programs: see `cernvmapi.errors`."""
    instance: str | None = None
    """The request id, to be found in the controller's log."""
    errors: list[dict[str, Any]] = field(default_factory=list)


class Machine(Sent, frozen=True, kw_only=True):
    """A virtual machine that the hub manages."""

    id: str
    name: str
    owner: str | None
    """The hub user whose machine this is."""
    server_name: str | None
    """The hub server that it serves (``""`` is the default server); None for a machine without a notebook."""
    appliance: str
    """Id of the appliance."""
    appliance_title: str
    flavor: str
    vcpus: int
    memory_mib: int
    disk_mib: int
    cluster: str | None = None
    host: str | None
    """Name of the host; None before placement."""
    hypervisor: str | None = None
    """Its libvirt connection URI, without credentials."""
    acceleration: str | None = None
    """``kvm`` or ``qemu`` (emulated)."""
    uuid: str
    """Of the libvirt domain."""
    network: str | None = None
    address: str | None
    mac: str | None = None
    port: int | None = None
    """TCP port of the notebook server."""
    home: str | None = None
    """Id of the home volume."""
    status: Status
    target: Target
    power: Power
    unknown_since: datetime | None = None
    phase: Phase | None = None
    progress: int = 0
    timeline: list[PhaseMark] = field(default_factory=list)
    """The phases of the last start."""
    awaiting_session: bool = False
    """The machine waits for its secrets and this controller does not hold them (again): send the session."""
    error: Problem | None = None
    console_tail: str | None = None
    """End of the serial console's log, kept with a failure."""
    labels: dict[str, str] = field(default_factory=dict)
    notes: str = ""
    protected: bool = False
    actions: list[str] = field(default_factory=list)
    """The actions that are valid now for whoever asked: start, shutdown, poweroff, reboot, delete."""
    revision: int = 0
    """Grows with every change of this machine."""
    created: datetime
    changed: datetime


class MachineCreate(Received, frozen=True, kw_only=True):
    """What a new machine shall be. Everything has a default: ``{}`` is a valid request."""

    owner: Name | None = None
    """Only an administrator or the hub may name somebody else."""
    server_name: Annotated[str, Meta(max_length=255)] | None = None
    name: Name | None = None
    appliance: Slug | None = None
    """None: the default appliance."""
    flavor: Slug | None = None
    """None: the default flavor."""
    vcpus: Annotated[int, Meta(ge=1, le=512)] | None = None
    """Instead of the flavor's; only an administrator or the hub may choose a size."""
    memory_mib: Annotated[int, Meta(ge=64, le=8 * 1024 * 1024)] | None = None
    host: Slug | None = None
    cluster: Slug | None = None
    """Only hosts of this cluster; the machine is in it."""
    arch: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,32}$")] | None = None
    """Only hosts of this processor architecture (``x86_64``); None: any that runs the appliance."""
    cpu_features: list[CpuFeature] = field(default_factory=list)
    """Only hosts whose processors have these (``avx2``), in libvirt's names."""
    host_labels: dict[Label, Label] = field(default_factory=dict)
    """Only hosts with these labels."""
    apart: Slug | None = None
    """A group of the owner's machines of which no host gets two."""
    home: bool = False
    """Attach the home volume of (owner, server_name), made when there is none."""
    home_mib: Annotated[int, Meta(ge=64, le=1024 * 1024 * 1024)] | None = None
    owner_id: OwnerId | None = None
    """Which account of the name `owner` it is; only an administrator or the hub says so."""
    adopt_home: bool = False
    """Take the home over although it is of another account; only an administrator or the hub says so."""
    notebook: bool = False
    """The machine serves a hub server: its start waits for a session."""
    start: bool = False
    labels: dict[Label, Label] = field(default_factory=dict)
    notes: Annotated[str, Meta(max_length=10_000)] = ""


class SessionFile(Received, frozen=True, kw_only=True):
    """A file that only the notebook server's user may read, kept in memory (tmpfs) in the machine."""

    path: Annotated[str, Meta(pattern=r"^/run/cernvmhub/[A-Za-z0-9._/-]{1,200}$", max_length=220)]
    content: Annotated[str, Meta(max_length=262_144)]
    mode: Annotated[int, Meta(ge=0, le=0o777)] = 0o400


class Session(Received, frozen=True, kw_only=True):
    """What a machine's notebook server needs and nobody else may know.

    It travels over the agent channel only and is held by the controller in memory, never written.
    """

    command: list[str] = field(default_factory=lambda: ["jupyterhub-singleuser"])
    env: dict[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")], str] = field(
        default_factory=dict
    )
    files: list[SessionFile] = field(default_factory=list)
    port: Annotated[int, Meta(ge=1, le=65535)] = 8888

    def __repr__(self) -> str:
        """Say how much is in it, and nothing of it: a repr ends in logs."""
        return f"Session(env=<{len(self.env)} values>, files=<{len(self.files)}>, port={self.port})"


class MachineStart(Received, frozen=True, kw_only=True):
    """How to start a machine."""

    session: Session | None = None


class Console(Sent, frozen=True, kw_only=True):
    """The end of what a machine wrote to its serial console."""

    machine: str
    text: str
    truncated: bool = False


# --- what machines are made of ---


class Hardware(Sent, frozen=True, kw_only=True):
    """What an appliance needs of the virtual hardware."""

    arch: str = "x86_64"
    firmware: str = "bios"
    """``bios`` or ``uefi``."""
    machine_type: str = "q35"
    disk_bus: str = "virtio"
    """``virtio``, ``scsi`` or ``sata``."""
    seed_bus: str = "scsi"
    """Bus of the context's CD-ROM."""
    nic_model: str = "virtio"


class Appliance(Sent, frozen=True, kw_only=True):
    """A disk image with what is known about it."""

    id: str
    title: str
    version: str
    description: str = ""
    logo: str | None = None
    """A ``data:`` URL."""
    arch: str = "x86_64"
    sha256: str
    size: int
    """Bytes of the image file."""
    virtual_size_mib: int
    min_memory_mib: int = 256
    min_vcpus: int = 1
    context: list[str] = field(default_factory=lambda: ["nocloud"])
    """Dialects that it understands: ``nocloud``, ``configdrive``."""
    agent_protocol: int | None = None
    """Protocol version of the agent inside; None without our agent."""
    notebook: bool = True
    """It can serve a notebook."""
    hardware: Hardware = field(default_factory=Hardware)
    default: bool = False
    hidden: bool = False
    updated: datetime


class Flavor(Sent, frozen=True, kw_only=True):
    """A size."""

    id: str
    title: str
    vcpus: int
    memory_mib: int
    disk_mib: int
    description: str = ""
    default: bool = False


class Level(StrEnum):
    """What a hypervisor may be used for, each including the ones before it."""

    OBSERVE = "observe"
    CONTROL = "control"
    PROVISION = "provision"
    NOTEBOOK = "notebook"


class Host(Sent, frozen=True, kw_only=True):
    """A node that runs machines."""

    id: str
    name: str
    uris: list[str]
    """Its hypervisors' connection URIs, without credentials."""
    level: Level
    alive: bool
    unknown_since: datetime | None = None
    reason: str = ""
    """Why it is not alive, or not at a higher level."""
    maintenance: bool = False
    arch: str = ""
    cpu_model: str = ""
    cpus: int = 0
    memory_mib: int = 0
    vcpus_promised: int = 0
    memory_promised_mib: int = 0
    machines: int = 0
    acceleration: str | None = None
    """``kvm`` or ``qemu``; None before it was probed."""
    libvirt_version: str = ""
    hypervisor_version: str = ""
    cpu_features: list[str] = field(default_factory=list)
    """Of its processors, in libvirt's names."""
    reached: bool = True
    """The hub reaches its machines over their network: only then they serve notebooks."""
    labels: dict[str, str] = field(default_factory=dict)
    notes: str = ""
    address: str = ""
    """Where people reach it for a console or SSH."""
    source: str = "configuration"
    """Who says how it is reached: ``configuration``, or ``api`` where it was attached."""


class Network(Sent, frozen=True, kw_only=True):
    """Where machines get addresses."""

    id: str
    name: str
    hosts: list[str]
    cidr: str
    gateway: str
    bridge: str = ""
    addresses: int
    """How many machines it can hold."""
    used: int
    reaches_hub: bool = True


class Pool(Sent, frozen=True, kw_only=True):
    """A libvirt storage pool."""

    id: str
    name: str
    hosts: list[str]
    shared: bool
    capacity_mib: int = 0
    available_mib: int = 0
    alive: bool = True


class VolumeKind(StrEnum):
    """What a volume is for."""

    BASE = "base"
    DISK = "disk"
    SEED = "seed"
    HOME = "home"
    LAYER = "layer"


class Volume(Sent, frozen=True, kw_only=True):
    """A volume that the hub made in a pool."""

    id: str
    kind: VolumeKind
    name: str
    """Of the volume in libvirt."""
    pool: str
    owner: str | None = None
    server_name: str | None = None
    owner_id: str | None = None
    """Which account of the name `owner` a home is for; None: whoever has the name and starts first."""
    capacity_mib: int = 0
    allocation_mib: int | None = None
    machine: str | None = None
    """The machine that it is attached to."""
    created: datetime


class VolumeChange(Received, frozen=True, kw_only=True):
    """Whose home it shall be; what is None stays as it is."""

    owner: Name | None = None
    server_name: Annotated[str, Meta(max_length=255)] | None = None
    owner_id: OwnerId | None = None
    """None: where an owner is named, whoever has that name and starts first."""


# --- long work, events, records ---


class OperationStatus(StrEnum):
    """The life of an operation."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Operation(Sent, frozen=True, kw_only=True):
    """A long-running request, with progress, result and cancel."""

    id: str
    action: str
    """``machine.start``, ``machine.delete``, …"""
    subject: str
    """``machine/<id>``, …"""
    actor: str
    request_id: str | None = None
    """The request that began it, as log and audit record name it."""
    owner: str | None = None
    """Whose subject it is: they may see it too."""
    status: OperationStatus
    progress: int = 0
    message: str = ""
    error: Problem | None = None
    cancellable: bool = False
    created: datetime
    finished: datetime | None = None


class Event(Sent, frozen=True, kw_only=True):
    """Something that happened; ids grow and never repeat, so a stream can be resumed after any of them."""

    id: int
    type: str
    """``machine.changed``, ``machine.deleted``, ``operation.changed``, ``host.changed``, ``volume.changed``,
    ``volume.deleted``, ``appliance.changed``, …"""
    subject: str
    owner: str | None = None
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    """The object as it is after the event, in its own model's shape."""


class AuditRecord(Sent, frozen=True, kw_only=True):
    """Who did what to which object, when, from where."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str = "accepted"
    address: str | None = None
    request_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Page(Sent, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    items: list[T]
    total: int
    next: str | None = None
    """Pass as ``cursor`` for the next page; None on the last one."""
    event_id: int = 0
    """The last event that this page includes: subscribe after it and nothing is missed."""


class ComponentHealth(Sent, frozen=True, kw_only=True):
    """One part of the controller."""

    name: str
    status: str
    """``ok``, ``degraded`` or ``down``."""
    detail: str = ""
    """A sentence that says what is wrong and what to do."""
    since: datetime | None = None
    """Since when it is so, as far as this controller saw."""


class Health(Sent, frozen=True, kw_only=True):
    """Whether the controller works; ``degraded`` serves, with something missing."""

    status: str
    """``ok``, ``degraded`` or ``down``: it can do nothing for anybody."""
    version: str = ""
    """This and the rest are for administrators, and for services that may read."""
    hub_id: str = ""
    components: list[ComponentHealth] = field(default_factory=list)


def encode(obj: Any) -> bytes:
    """Encode a model as JSON."""
    return msgspec.json.encode(obj)
