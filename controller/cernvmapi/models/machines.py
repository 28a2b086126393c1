"""Machines."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from cernvmapi.models.base import CpuFeature, Labels, Name, OwnerId, Problem, Received, Sent, Slug, UserName


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


class MachineLock(Sent, frozen=True, kw_only=True):
    """That a machine must stay as it is until it is unlocked."""

    author: str
    """Who locked it; they unlock it, or an administrator does."""
    at: datetime
    reason: str = ""


class MachineSize(Sent, frozen=True, kw_only=True):
    """How large a machine is."""

    flavor: str
    vcpus: int
    memory_mib: int


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
    """It is not deleted."""
    lock: MachineLock | None = None
    stored: bool = False
    """It is off with its memory on the host's disk: when it is started, it goes on where it was."""
    pending: MachineSize | None = None
    """The size that it gets at its next start, where that is another one."""
    moving_to: str | None = None
    """Id of the host to which it is being moved."""
    actions: list[str] = field(default_factory=list)
    """The actions that are valid now for whoever asked, by the last words of their URLs."""
    revision: int = 0
    """Grows with every change of this machine."""
    created: datetime
    changed: datetime


class MachineCreate(Received, frozen=True, kw_only=True):
    """What a new machine shall be. Everything has a default: ``{}`` is a valid request."""

    owner: UserName | None = None
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
    host_labels: Labels = field(default_factory=dict)
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
    labels: Labels = field(default_factory=dict)
    notes: Annotated[str, Meta(max_length=10_000)] = ""


class MachineChange(Received, frozen=True, kw_only=True):
    """How a machine shall be called and whose it shall be; what is None stays as it is."""

    name: Name | None = None
    owner: UserName | None = None
    """Only an administrator or the hub says whose it is; its home goes with it."""
    server_name: Annotated[str, Meta(max_length=255)] | None = None
    """The hub server that it serves from now on; only an administrator or the hub says so."""
    owner_id: OwnerId | None = None
    """Which account of the name `owner` its home is for; only an administrator or the hub says so."""
    labels: Labels | None = None
    """All of them: what is not among them is gone."""
    notes: Annotated[str, Meta(max_length=10_000)] | None = None
    protected: bool | None = None
    """Whether it is kept from being deleted."""
    flavor: Slug | None = None
    """Another size, at once while it is off, else from its next start on."""
    vcpus: Annotated[int, Meta(ge=1, le=512)] | None = None
    """Instead of the flavor's; only an administrator or the hub may choose a size."""
    memory_mib: Annotated[int, Meta(ge=64, le=8 * 1024 * 1024)] | None = None


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
    discard: bool = False
    """Boot anew although the machine was stored: its memory is thrown away."""


class Console(Sent, frozen=True, kw_only=True):
    """The end of what a machine wrote to its serial console."""

    machine: str
    text: str
    truncated: bool = False
