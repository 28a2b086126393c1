"""What the web layer asks of the engine, as protocols: it decides nothing about machines itself.

Who may ask is settled before any of these is called. ``owner`` is therefore a filter and never a permission:
the web layer passes the caller's own name where the caller may see only what is theirs.

Every method raises an error of `cernvmapi.errors`; `NotFound` for an id that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from cernvmapi.consoles import ConsoleKind, ConsoleRequest, MachineKeys
    from cernvmapi.definitions import Definition, MachineXml, XmlChange, XmlChanged
    from cernvmapi.hardware import Hardware, HardwareChange
    from cernvmapi.hosts import (
        Proposal,
    )
    from cernvmapi.lifecycle import BulkRequest, BulkResult, LockRequest, MoveRequest, StoreRequest
    from cernvmapi.models import (
        AuditRecord,
        Console,
        Event,
        Health,
        Machine,
        MachineChange,
        MachineCreate,
        Operation,
        OperationStatus,
        Page,
        Session,
        Status,
        Volume,
        VolumeChange,
        VolumeKind,
    )
    from cernvmapi.snapshots import Snapshot, SnapshotRequest
    from cernvmapi.usage import Grouping, Usage, UsageStatistics
    from cernvmcontroller.consoles.viewing import Viewing
    from cernvmcontroller.metering.history import Range
    from cernvmcontroller.store import Actor
    from cernvmcontroller.telemetry.figures import Figures
    from cernvmcontroller.web.siteengine import (
        Catalogue,
        Clusters,
        Downloads,
        Drains,
        Evacuation,
        Feeds,
        Hosts,
        Inventory,
        Repository,
    )

MACHINE_SORTS = ("name", "owner", "status", "host", "created")
"""What a list of machines can be sorted by; a ``-`` in front turns the order round."""


class Machines(Protocol):
    """The machines and what can be done to them."""

    async def create(self, actor: Actor, request: MachineCreate, owner: str | None) -> tuple[Machine, bool]:
        """Return the machine and whether it is new.

        With ``notebook``, (owner, server name) names one machine: asking again returns the one that is there;
        if it is of another appliance or flavor, `Conflict`.
        """

    async def get(self, machine_id: str) -> Machine:
        """Return one machine."""

    async def page(
        self,
        *,
        owner: str | None = None,
        status: Collection[Status] = (),
        host: str | None = None,
        cluster: str | None = None,
        search: str | None = None,
        sort: str = "-created",
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Machine]:
        """Return one page of the machines that fit all filters; `Malformed` for a cursor of no page."""

    async def start(
        self, actor: Actor, machine_id: str, session: Session | None, *, discard: bool = False
    ) -> Operation:
        """Begin a start; where one runs already, return its operation."""

    async def shutdown(self, actor: Actor, machine_id: str) -> Operation:
        """Begin an orderly shutdown."""

    async def poweroff(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to switch the machine off without asking it."""

    async def reboot(self, actor: Actor, machine_id: str) -> Operation:
        """Begin a reboot."""

    async def delete(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to remove the machine and its disk; the home stays."""

    async def change(self, actor: Actor, machine_id: str, request: MachineChange) -> Machine:
        """Rename, relabel or hand over; `Conflict` where the server has another machine or home."""

    async def put_session(self, actor: Actor, machine_id: str, session: Session) -> Machine:
        """Give the machine's notebook server (again) what it needs."""

    async def console(self, machine_id: str) -> Console:
        """Return the end of the machine's serial console."""


class Lifecycle(Protocol):
    """Suspended, reset, stored, locked machines."""

    async def suspend(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to suspend."""

    async def resume(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to let go on."""

    async def reset(self, actor: Actor, machine_id: str) -> Operation:
        """Begin to reset."""

    async def store(self, actor: Actor, machine_id: str, request: StoreRequest) -> Operation:
        """Begin to write the memory to the host's disk."""

    async def lock(self, actor: Actor, machine_id: str, request: LockRequest) -> Machine:
        """Lock."""

    async def unlock(self, actor: Actor, machine_id: str, *, any_author: bool) -> Machine:
        """Unlock; `Forbidden` where somebody else locked it."""

    async def many(self, actor: Actor, request: BulkRequest, owner: str | None) -> list[BulkResult]:
        """Do the same with many machines, or only say what would become of it."""


class Snapshots(Protocol):
    """What machines were."""

    async def all(self, machine_id: str) -> list[Snapshot]:
        """Return a machine's snapshots, the oldest first; asks its host."""

    async def take(self, actor: Actor, machine_id: str, request: SnapshotRequest) -> Operation:
        """Begin to keep what a machine is now."""

    async def revert(self, actor: Actor, machine_id: str, name: str) -> Operation:
        """Begin to bring a machine back; `Conflict` where it ran then and is off now, or the reverse."""

    async def forget(self, actor: Actor, machine_id: str, name: str) -> Operation:
        """Begin to delete a snapshot."""


class Definitions(Protocol):
    """The XML of machines' domains; `NotFound` before the first start."""

    async def get(self, machine_id: str) -> MachineXml:
        """Return what a machine's host has."""

    async def write(self, actor: Actor, machine_id: str, request: XmlChange) -> XmlChanged:
        """Let it have another; `Invalid` where a rule or libvirt refuses it, `Conflict` where it changed."""

    async def reset(self, actor: Actor, machine_id: str) -> XmlChanged:
        """Bring the hub's own back."""

    async def history(self, machine_id: str) -> list[Definition]:
        """Return the changes, the newest first."""


class Fitting(Protocol):
    """Machines' hardware; `NotFound` before the first start."""

    async def get(self, machine_id: str) -> Hardware:
        """Return what a machine is made of."""

    async def change(self, actor: Actor, machine_id: str, wanted: HardwareChange) -> Hardware:
        """Let it have other hardware; `Invalid` where libvirt does not accept it."""


class Moves(Protocol):
    """Machines that go from one host to another."""

    async def move(self, actor: Actor, machine_id: str, request: MoveRequest) -> Operation:
        """Begin to move; `NoRoom` where no host can take it, `Conflict` for what cannot be moved now."""

    async def propose(self, cluster: str | None = None) -> list[Proposal]:
        """Return moves that would spread running machines more evenly."""


class Screens(Protocol):
    """What machines show, and what is typed into them."""

    async def check(self, machine_id: str, kind: ConsoleKind) -> None:
        """Refuse a console that could not be opened now."""

    async def open(self, actor: Actor, machine_id: str, request: ConsoleRequest) -> Viewing:
        """Open a console and write down who did."""

    async def screenshot(self, machine_id: str) -> bytes:
        """Return what is on a machine's screen, as PNG."""

    async def press(self, actor: Actor, machine_id: str, keys: MachineKeys) -> None:
        """Press keys and write down who did, not which."""


class Operations(Protocol):
    """Long work under way and done."""

    async def get(self, operation_id: str) -> Operation:
        """Return one operation."""

    async def page(
        self,
        *,
        owner: str | None = None,
        status: Collection[OperationStatus] = (),
        subject: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Operation]:
        """Return one page, the newest first."""

    async def wait(self, operation_id: str, seconds: float) -> Operation:
        """Return the operation when it is finished, or as it is after `seconds`."""

    async def cancel(self, actor: Actor, operation_id: str) -> Operation:
        """Ask a running operation to end; `Conflict` where it cannot."""


class Volumes(Protocol):
    """The volumes that the hub made."""

    async def get(self, volume_id: str) -> Volume:
        """Return one volume."""

    async def page(
        self,
        *,
        owner: str | None = None,
        kind: VolumeKind | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Volume]:
        """Return one page."""

    async def change(self, actor: Actor, volume_id: str, request: VolumeChange) -> Volume:
        """Hand a home over; `Conflict` while a machine has it, or where the new owner has one."""

    async def delete(self, actor: Actor, volume_id: str) -> None:
        """Delete a volume that nothing uses; `Conflict` while it is attached or part of a machine."""


class EventLog(Protocol):
    """The persisted events, as `cernvmcontroller.events` has them."""

    def subscribe(
        self, after: int | None = None, types: Collection[str] | None = None, owner: str | None = None
    ) -> AsyncIterator[Event]:
        """Yield the events after id `after` (None: from this call on) without a gap.

        Only those of `types` and of `owner`'s objects, where these are given. Where events after `after` are
        already forgotten, the first is one of type ``reset``. An interrupted ``anext`` loses nothing.
        """

    def last_id(self) -> int:
        """Return the id of the newest event; before the first, where ids begin."""


class Audit(Protocol):
    """The record of who did what."""

    async def page(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[AuditRecord]:
        """Return one page, the newest first."""


class UsageHistory(Protocol):
    """What machines used."""

    async def machine(self, machine_id: str, owner: str | None, wanted: Range) -> Usage:
        """Return what a machine used; with an owner, only while it was theirs."""

    async def machines(self, ids: Collection[str], owner: str | None, wanted: Range) -> list[Usage]:
        """Return what each of many machines used."""

    async def host(self, host_id: str, wanted: Range) -> Usage:
        """Return what the machines on a host used."""

    async def appliance(self, appliance_id: str, wanted: Range) -> Usage:
        """Return what the machines of an appliance used."""

    async def cluster(self, cluster_id: str, wanted: Range) -> Usage:
        """Return what the machines of a cluster used."""

    async def owner(self, owner: str | None, wanted: Range) -> Usage:
        """Return what a user's machines used; None: everybody's."""

    async def statistics(self, owner: str | None, by: Grouping, wanted: Range) -> UsageStatistics:
        """Return who started what, how long they waited, and what was used."""


class Engine(Protocol):
    """All that is behind the API."""

    @property
    def machines(self) -> Machines:
        """The machines."""

    @property
    def snapshots(self) -> Snapshots:
        """What machines were."""

    @property
    def definitions(self) -> Definitions:
        """The XML of machines' domains."""

    @property
    def fitting(self) -> Fitting:
        """Machines' hardware."""

    @property
    def moves(self) -> Moves:
        """Moves machines from one host to another."""

    @property
    def drains(self) -> Drains:
        """Has all machines leave a host."""

    @property
    def evacuation(self) -> Evacuation:
        """Brings the machines of dead hosts to others."""

    @property
    def lifecycle(self) -> Lifecycle:
        """Suspended, reset, stored, locked machines."""

    @property
    def screens(self) -> Screens:
        """Consoles, screenshots and keys."""

    @property
    def operations(self) -> Operations:
        """The operations."""

    @property
    def volumes(self) -> Volumes:
        """The volumes."""

    @property
    def inventory(self) -> Inventory:
        """Hosts, networks, pools, flavors."""

    @property
    def hosts(self) -> Hosts:
        """What is done with hosts."""

    @property
    def clusters(self) -> Clusters:
        """The clusters."""

    @property
    def repository(self) -> Repository:
        """The appliances."""

    @property
    def feeds(self) -> Feeds:
        """The feeds."""

    @property
    def catalogue(self) -> Catalogue:
        """What the feeds offer."""

    @property
    def downloads(self) -> Downloads:
        """Downloads into the repository."""

    @property
    def events(self) -> EventLog:
        """The event log."""

    @property
    def audit(self) -> Audit:
        """The audit record."""

    @property
    def usage(self) -> UsageHistory:
        """What machines used."""

    async def machines_known(self) -> None:
        """Raise `Busy` while machines may run of which the engine does not know, after waiting a moment.

        Asked before everything that says, or takes for granted, which machines there are.
        """

    async def figures(self) -> Figures:
        """Say how things stand, in numbers."""

    async def health(self) -> Health:
        """Say how the controller is, from what is known, asking the database but no host."""
