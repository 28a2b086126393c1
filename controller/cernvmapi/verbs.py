"""The verbs on what has few of them.

`cernvmapi.client` makes a sync and an async group of each class of verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cernvmapi.models import (
    AuditRecord,
    Flavor,
    Operation,
    OperationStatus,
    Page,
    Volume,
    VolumeChange,
    VolumeKind,
)
from cernvmapi.steps import LARGEST_PAGE, finished, pages, path
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Collection


LongList = list  # the name `list` is a verb below


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
        return Call("GET", path("operations", operation_id), Operation)

    @verb
    def wait(self, operation_id: str, timeout: float | None = None) -> Steps[Operation]:
        """Return the operation when it is finished, however it ended.

        Parameters
        ----------
        timeout
            Seconds; `TimeoutError` if it takes longer. None: for ever.
        """
        return finished(operation_id, timeout)

    @verb
    def cancel(self, operation_id: str) -> Call[Operation]:
        """Ask a running operation to end."""
        return Call("DELETE", path("operations", operation_id), Operation)


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
        return pages("/volumes", Volume, params(owner=owner, kind=kind, limit=LARGEST_PAGE))

    @verb
    def get(self, volume_id: str) -> Call[Volume]:
        """Return one volume."""
        return Call("GET", path("volumes", volume_id), Volume)

    @verb
    def change(self, volume_id: str, request: VolumeChange | None = None, /, **fields: Any) -> Call[Volume]:
        """Say whose home it is: a `VolumeChange`, or its fields as keywords; for administrators."""
        if request is not None and fields:
            raise TypeError("Give a VolumeChange or its fields, not both.")
        body = request or VolumeChange(**fields)
        return Call("PATCH", path("volumes", volume_id), Volume, body=body)

    @verb
    def delete(self, volume_id: str) -> Call[None]:
        """Delete a volume, and what is on it, for good."""
        return Call("DELETE", path("volumes", volume_id), None)


class FlavorVerbs:
    """The sizes; ``client.flavors``."""

    @verb
    def list(self) -> Steps[LongList[Flavor]]:
        """Return the flavors."""
        return pages("/flavors", Flavor, {})


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
