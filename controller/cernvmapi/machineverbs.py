"""The verbs on machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cernvmapi.consoles import ConsoleKind, ConsoleRequest, ConsoleTicket, MachineKeys
from cernvmapi.models import (
    Console,
    Machine,
    MachineChange,
    MachineCreate,
    MachineStart,
    Operation,
    Page,
    Session,
    Status,
)
from cernvmapi.steps import LARGEST_PAGE, pages, path, succeeded
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Collection

    from cernvmapi.consoles import ConsolePosition

LongList = list  # the name `list` is a verb below


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
            Parts of name, owner, address, id or host.
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
        return pages("/machines", Machine, query)

    @verb
    def get(self, machine_id: str) -> Call[Machine]:
        """Return one machine."""
        return Call("GET", path("machines", machine_id), Machine)

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
        return Call("PATCH", path("machines", machine_id), Machine, body=body)

    @verb
    def start(
        self,
        machine_id: str,
        session: Session | None = None,
        *,
        discard: bool = False,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Steps[Operation]:
        """Start a machine.

        Parameters
        ----------
        session
            For its notebook server; only the hub sends one.
        discard
            Boot anew although the machine was stored: its memory is thrown away.
        wait
            Return when it runs; if it fails to, its error is raised.
        timeout
            Seconds to wait at most; then `TimeoutError`.
        """
        body = MachineStart(session=session, discard=discard)
        operation = yield Call("POST", path("machines", machine_id, "start"), Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def shutdown(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Shut a machine down in order; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", path("machines", machine_id, "shutdown"), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def poweroff(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Switch a machine off without asking it; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", path("machines", machine_id, "poweroff"), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def reboot(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Reboot a machine; `wait` and `timeout` as for `start`."""
        operation = yield Call("POST", path("machines", machine_id, "reboot"), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def delete(
        self, machine_id: str, *, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Delete a machine with its disk; its home stays. `wait` and `timeout` as for `start`."""
        operation = yield Call("DELETE", path("machines", machine_id), Operation)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def put_session(self, machine_id: str, session: Session) -> Call[Machine]:
        """Give a machine that awaits its session (again) what its notebook server needs."""
        return Call("PUT", path("machines", machine_id, "session"), Machine, body=session)

    @verb
    def console(self, machine_id: str) -> Call[Console]:
        """Return the end of what the machine wrote to its serial console."""
        return Call("GET", path("machines", machine_id, "console"), Console)

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
        return Call("POST", path("machines", machine_id, "console"), ConsoleTicket, body=request)

    @verb
    def screenshot(self, machine_id: str) -> Call[bytes]:
        """Return what is on a machine's screen, as PNG."""
        return Call("GET", path("machines", machine_id, "screenshot"), bytes)

    @verb
    def press(self, machine_id: str, *keys: str, text: str = "") -> Call[None]:
        """Type `text` on a machine's keyboard, then press combinations of keys: ``"ctrl-alt-delete"``."""
        body = MachineKeys(text=text, keys=[*keys])
        return Call("POST", path("machines", machine_id, "keys"), None, body=body)
