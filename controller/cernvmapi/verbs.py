"""Every verb of the API, once; `cernvmapi.client` makes a sync and an async group of each class here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from cernvmapi.consoles import ConsoleKind, ConsoleRequest, ConsoleTicket, MachineKeys
from cernvmapi.errors import CernVMError, Conflict, error_from
from cernvmapi.models import (
    Appliance,
    ApplianceCreate,
    AuditRecord,
    CatalogueEntry,
    Console,
    Feed,
    FeedCreate,
    FeedUpdate,
    Flavor,
    Machine,
    MachineChange,
    MachineCreate,
    MachineStart,
    Network,
    Operation,
    OperationStatus,
    Page,
    Pool,
    Session,
    Status,
    Volume,
    VolumeChange,
    VolumeKind,
)
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Collection, Generator

    from cernvmapi.consoles import ConsolePosition

T = TypeVar("T")
LongList = list  # the name `list` is a verb below
LONGEST_WAIT = 30.0
"""Seconds that the controller holds one request for an operation's end."""
LARGEST_PAGE = 1000


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _pages(path: str, item: Any, query: dict[str, str]) -> Generator[Call[Any], Any, LongList[Any]]:
    """Ask for one page after the other."""
    items: LongList[Any] = []
    while True:
        page = yield Call("GET", path, Page[item], query)
        items += page.items
        if page.next is None:
            return items
        query = {**query, "cursor": page.next}


def _finished(operation_id: str, timeout: float | None) -> Steps[Operation]:
    """Ask until the operation is finished or `timeout` seconds have passed."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LONGEST_WAIT if deadline is None else min(LONGEST_WAIT, deadline - time.monotonic())
        query = params(wait=round(max(left, 0.0), 3))
        operation = yield Call("GET", _path("operations", operation_id), Operation, query)
        if operation.status is not OperationStatus.RUNNING:
            return operation  # type: ignore[no-any-return]
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(
                f"{operation.action} of {operation.subject} is not finished: {operation.message}"
            )


def _succeeded(operation: Operation, wait: bool, timeout: float | None) -> Steps[Operation]:
    """Wait, if asked to, and raise the operation's own error if it fails."""
    if not wait:
        return operation
    operation = yield from _finished(operation.id, timeout)
    if operation.status is OperationStatus.CANCELLED:
        raise Conflict(f"{operation.action} of {operation.subject} was cancelled.")
    if operation.status is OperationStatus.FAILED:
        raise error_from(operation.error) if operation.error else CernVMError(operation.message)
    return operation


class MachineVerbs:
    """The machines; ``client.machines``."""

    @verb
    def list(
        self,
        *,
        owner: str | None = None,
        status: Status | Collection[Status] | None = None,
        host: str | None = None,
        cluster: str | None = None,
        search: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[Page[Machine]]:
        """Return one page of the machines that fit all filters.

        Parameters
        ----------
        owner
            Only an administrator or the hub sees others' machines.
        search
            Part of a name, an owner, an address, a label.
        sort
            ``name``, ``owner``, ``status``, ``host`` or ``created``; with ``-`` in front the other way round.
        limit, cursor
            How many, from where: pass `Page.next` of the page before.
        """
        query = params(
            owner=owner,
            status=status,
            host=host,
            cluster=cluster,
            search=search,
            sort=sort,
            limit=limit,
            cursor=cursor,
        )
        return Call("GET", "/machines", Page[Machine], query)

    @verb
    def all(
        self,
        *,
        owner: str | None = None,
        status: Status | Collection[Status] | None = None,
        host: str | None = None,
        cluster: str | None = None,
        search: str | None = None,
        sort: str | None = None,
    ) -> Steps[LongList[Machine]]:
        """Return the machines of all pages."""
        filters = params(owner=owner, status=status, host=host, cluster=cluster, search=search)
        query = {**filters, **params(sort=sort, limit=LARGEST_PAGE)}
        return _pages("/machines", Machine, query)

    @verb
    def get(self, machine_id: str) -> Call[Machine]:
        """Return one machine."""
        return Call("GET", _path("machines", machine_id), Machine)

    @verb
    def create(self, request: MachineCreate | None = None, /, **fields: Any) -> Call[Machine]:
        """Make a machine: a `MachineCreate`, or its fields as keywords. Without any, all is the default."""
        if request is not None and fields:
            raise TypeError("Give a MachineCreate or its fields, not both.")
        return Call("POST", "/machines", Machine, body=request or MachineCreate(**fields))

    @verb
    def change(
        self, machine_id: str, request: MachineChange | None = None, /, **fields: Any
    ) -> Call[Machine]:
        """Rename, relabel or hand over a machine: a `MachineChange`, or its fields as keywords."""
        if request is not None and fields:
            raise TypeError("Give a MachineChange or its fields, not both.")
        body = request or MachineChange(**fields)
        return Call("PATCH", _path("machines", machine_id), Machine, body=body)

    @verb
    def start(
        self,
        machine_id: str,
        session: Session | None = None,
        *,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Steps[Operation]:
        """Start a machine.

        Parameters
        ----------
        session
            For its notebook server; only the hub and administrators send one.
        wait
            Return when it runs; if it fails to, its error is raised.
        timeout
            Seconds to wait at most; then `TimeoutError`.
        """
        body = MachineStart(session=session)
        operation = yield Call("POST", _path("machines", machine_id, "start"), Operation, body=body)
        return (yield from _succeeded(operation, wait, timeout))

    @verb
    def shutdown(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Shut a machine down in order; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", _path("machines", machine_id, "shutdown"), Operation)
        return (yield from _succeeded(operation, wait, timeout))

    @verb
    def poweroff(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Switch a machine off without asking it; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", _path("machines", machine_id, "poweroff"), Operation)
        return (yield from _succeeded(operation, wait, timeout))

    @verb
    def reboot(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Reboot a machine; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", _path("machines", machine_id, "reboot"), Operation)
        return (yield from _succeeded(operation, wait, timeout))

    @verb
    def delete(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Delete a machine with its disk; its home stays. `wait` and `timeout` as for `start`."""
        operation = yield Call("DELETE", _path("machines", machine_id), Operation)
        return (yield from _succeeded(operation, wait, timeout))

    @verb
    def put_session(self, machine_id: str, session: Session) -> Call[Machine]:
        """Give a machine that awaits its session (again) what its notebook server needs."""
        return Call("PUT", _path("machines", machine_id, "session"), Machine, body=session)

    @verb
    def console(self, machine_id: str) -> Call[Console]:
        """Return the end of what the machine wrote to its serial console."""
        return Call("GET", _path("machines", machine_id, "console"), Console)

    @verb
    def open_console(
        self,
        machine_id: str,
        kind: ConsoleKind = ConsoleKind.SERIAL,
        *,
        view_only: bool = False,
        after: ConsolePosition | None = None,
    ) -> Call[ConsoleTicket]:
        """Return a ticket for a console's WebSocket; ``client.console`` opens that too."""
        request = ConsoleRequest(kind=kind, view_only=view_only, after=after)
        return Call("POST", _path("machines", machine_id, "console"), ConsoleTicket, body=request)

    @verb
    def screenshot(self, machine_id: str) -> Call[bytes]:
        """Return what is on a machine's screen, as PNG."""
        return Call("GET", _path("machines", machine_id, "screenshot"), bytes)

    @verb
    def press(self, machine_id: str, *keys: str, text: str = "") -> Call[None]:
        """Type `text` on a machine's keyboard, then press combinations of keys: ``"ctrl-alt-delete"``."""
        body = MachineKeys(text=text, keys=[*keys])
        return Call("POST", _path("machines", machine_id, "keys"), None, body=body)


class OperationVerbs:
    """Long work; ``client.operations``."""

    @verb
    def list(
        self,
        *,
        owner: str | None = None,
        status: OperationStatus | Collection[OperationStatus] | None = None,
        subject: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[Page[Operation]]:
        """Return one page of the operations, the newest first."""
        query = params(owner=owner, status=status, subject=subject, limit=limit, cursor=cursor)
        return Call("GET", "/operations", Page[Operation], query)

    @verb
    def get(self, operation_id: str) -> Call[Operation]:
        """Return one operation."""
        return Call("GET", _path("operations", operation_id), Operation)

    @verb
    def wait(self, operation_id: str, timeout: float | None = None) -> Steps[Operation]:
        """Return the operation when it is finished, however it ended.

        Parameters
        ----------
        timeout
            Seconds; `TimeoutError` if it takes longer. None: for ever.
        """
        return _finished(operation_id, timeout)

    @verb
    def cancel(self, operation_id: str) -> Call[Operation]:
        """Ask a running operation to end."""
        return Call("DELETE", _path("operations", operation_id), Operation)


class VolumeVerbs:
    """The volumes that the hub made; ``client.volumes``."""

    @verb
    def list(
        self,
        *,
        owner: str | None = None,
        kind: VolumeKind | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[Page[Volume]]:
        """Return one page of the volumes."""
        query = params(owner=owner, kind=kind, limit=limit, cursor=cursor)
        return Call("GET", "/volumes", Page[Volume], query)

    @verb
    def all(self, *, owner: str | None = None, kind: VolumeKind | None = None) -> Steps[LongList[Volume]]:
        """Return the volumes of all pages."""
        return _pages("/volumes", Volume, params(owner=owner, kind=kind, limit=LARGEST_PAGE))

    @verb
    def get(self, volume_id: str) -> Call[Volume]:
        """Return one volume."""
        return Call("GET", _path("volumes", volume_id), Volume)

    @verb
    def change(self, volume_id: str, request: VolumeChange | None = None, /, **fields: Any) -> Call[Volume]:
        """Say whose home it is: a `VolumeChange`, or its fields as keywords; for administrators."""
        if request is not None and fields:
            raise TypeError("Give a VolumeChange or its fields, not both.")
        body = request or VolumeChange(**fields)
        return Call("PATCH", _path("volumes", volume_id), Volume, body=body)

    @verb
    def delete(self, volume_id: str) -> Call[None]:
        """Delete a volume, and what is on it, for good."""
        return Call("DELETE", _path("volumes", volume_id), None)


class ApplianceVerbs:
    """What machines are made from; ``client.appliances``."""

    @verb
    def list(self) -> Steps[LongList[Appliance]]:
        """Return the appliances."""
        return _pages("/appliances", Appliance, {})

    @verb
    def get(self, appliance_id: str) -> Call[Appliance]:
        """Return one appliance."""
        return Call("GET", _path("appliances", appliance_id), Appliance)

    @verb
    def download(
        self,
        entry: str | None = None,
        /,
        *,
        url: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
        **fields: Any,
    ) -> Steps[Operation]:
        """Download an appliance into the repository; for administrators.

        Parameters
        ----------
        entry
            Id of an entry of the catalogue.
        url
            Where the image is, instead.
        wait, timeout
            As for the start of a machine.
        fields
            The others of `ApplianceCreate`.
        """
        body = ApplianceCreate(entry=entry, url=url, **fields)
        operation = yield Call("POST", "/appliances", Operation, body=body)
        return (yield from _succeeded(operation, wait, timeout))


class FlavorVerbs:
    """The sizes; ``client.flavors``."""

    @verb
    def list(self) -> Steps[LongList[Flavor]]:
        """Return the flavors."""
        return _pages("/flavors", Flavor, {})


class NetworkVerbs:
    """The networks, for administrators; ``client.networks``."""

    @verb
    def list(self) -> Steps[LongList[Network]]:
        """Return the networks."""
        return _pages("/networks", Network, {})


class PoolVerbs:
    """The storage pools, for administrators; ``client.pools``."""

    @verb
    def list(self) -> Steps[LongList[Pool]]:
        """Return the pools."""
        return _pages("/pools", Pool, {})


class FeedVerbs:
    """The feeds, for administrators; ``client.feeds``."""

    @verb
    def list(self) -> Steps[LongList[Feed]]:
        """Return the feeds."""
        return _pages("/feeds", Feed, {})

    @verb
    def get(self, feed_id: str) -> Call[Feed]:
        """Return one feed."""
        return Call("GET", _path("feeds", feed_id), Feed)

    @verb
    def create(self, url: str, /, **fields: Any) -> Call[Feed]:
        """Add the feed at a URL; `fields` are those of `FeedCreate`."""
        return Call("POST", "/feeds", Feed, body=FeedCreate(url=url, **fields))

    @verb
    def change(self, feed_id: str, /, **fields: Any) -> Call[Feed]:
        """Change the `fields` of a feed, those of `FeedUpdate`."""
        return Call("PATCH", _path("feeds", feed_id), Feed, body=FeedUpdate(**fields))

    @verb
    def delete(self, feed_id: str) -> Call[None]:
        """Delete a feed and what it offers; what was downloaded stays."""
        return Call("DELETE", _path("feeds", feed_id), None)

    @verb
    def refresh(self, feed_id: str, *, wait: bool = False, timeout: float | None = None) -> Steps[Operation]:
        """Read a feed again; `wait` and `timeout` as for the start of a machine."""
        operation = yield Call("POST", _path("feeds", feed_id, "refresh"), Operation)
        return (yield from _succeeded(operation, wait, timeout))


class CatalogueVerbs:
    """What the feeds offer, for administrators; ``client.catalogue``."""

    @verb
    def list(
        self,
        *,
        feed: str | None = None,
        category: str | None = None,
        arch: str | None = None,
        search: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[Page[CatalogueEntry]]:
        """Return one page of the entries that fit all filters.

        Parameters
        ----------
        feed
            Id of a feed.
        search
            Words of a title, a description, a version, a type, a system, a licence.
        sort
            ``title``, ``updated``, ``category``, ``size`` or ``feed``; with ``-`` in front the other way
            round.
        """
        query = params(
            feed=feed, category=category, arch=arch, search=search, sort=sort, limit=limit, cursor=cursor
        )
        return Call("GET", "/catalogue", Page[CatalogueEntry], query)

    @verb
    def all(
        self,
        *,
        feed: str | None = None,
        category: str | None = None,
        arch: str | None = None,
        search: str | None = None,
        sort: str | None = None,
    ) -> Steps[LongList[CatalogueEntry]]:
        """Return the entries of all pages."""
        query = params(feed=feed, category=category, arch=arch, search=search, sort=sort, limit=LARGEST_PAGE)
        return _pages("/catalogue", CatalogueEntry, query)


class AuditVerbs:
    """Who did what, for administrators; ``client.audit``."""

    @verb
    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[Page[AuditRecord]]:
        """Return one page of the audit record, the newest first."""
        query = params(actor=actor, action=action, subject=subject, limit=limit, cursor=cursor)
        return Call("GET", "/audit", Page[AuditRecord], query)
