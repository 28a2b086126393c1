"""Every verb of the API, once; `cernvmapi.client` makes a sync and an async group of each class here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from cernvmapi.errors import CernVMError, Conflict, error_from
from cernvmapi.models import (
    Appliance,
    AuditRecord,
    Console,
    Flavor,
    Machine,
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
