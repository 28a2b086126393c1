"""The query parameters of the routes, as types: decoded by them and described by them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# ruff: noqa: TC001 - msgspec reads the annotations at run time
from cernvmapi.models import OperationStatus, Status, VolumeKind

Text = Annotated[str, Meta(max_length=255)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Cursor = Annotated[str, Meta(max_length=1024)]


class NoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


class Paged(NoQuery, frozen=True, kw_only=True):
    """A list in pages."""

    limit: Limit = 100
    """How many items at most."""
    cursor: Cursor | None = None
    """`next` of the page before."""


class MachinesQuery(Paged, frozen=True, kw_only=True):
    """Which machines."""

    owner: Text | None = None
    """Of this user; others' only for administrators."""
    status: list[Status] = []
    """In one of these states."""
    host: Text | None = None
    """On this host."""
    cluster: Text | None = None
    """In this cluster, by id."""
    search: Text | None = None
    """With this in its name, owner, address or labels."""
    sort: Annotated[str, Meta(pattern=r"^-?(name|owner|status|host|created)$")] = "-created"
    """By what; with `-` in front the other way round."""


class OperationsQuery(Paged, frozen=True, kw_only=True):
    """Which operations."""

    owner: Text | None = None
    """Of this user's things; others' only for administrators."""
    status: list[OperationStatus] = []
    """In one of these states."""
    subject: Text | None = None
    """On this thing: `machine/<id>`."""


class WaitQuery(NoQuery, frozen=True, kw_only=True):
    """How long to wait."""

    wait: Annotated[float, Meta(ge=0, le=30)] = 0
    """Seconds for which the answer is held back while the operation runs."""


class VolumesQuery(Paged, frozen=True, kw_only=True):
    """Which volumes."""

    owner: Text | None = None
    """Of this user; others' only for administrators."""
    kind: VolumeKind | None = None
    """Of this kind."""


class ClustersQuery(NoQuery, frozen=True, kw_only=True):
    """Which clusters; the default one has all hosts and machines."""

    host: Text | None = None
    """That this host is in, by id."""
    machine: Text | None = None
    """That this machine is in, by id."""


class DetachQuery(NoQuery, frozen=True, kw_only=True):
    """What of a host may be lost."""

    forget: bool = False
    """Forget the machines and homes on a host that never answers again."""


class AuditQuery(Paged, frozen=True, kw_only=True):
    """Which records."""

    actor: Text | None = None
    """Who did it."""
    action: Text | None = None
    """What was done: `machine.start`."""
    subject: Text | None = None
    """On what: `machine/<id>`."""


class EventsQuery(NoQuery, frozen=True, kw_only=True):
    """Which events."""

    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    """Those after this id; the header `Last-Event-ID` goes first. Without either: from now on."""
    types: list[Text] = []
    """Only these types; without any, all."""


class HealthQuery(NoQuery, frozen=True, kw_only=True):
    """What to look at."""

    live: bool = False
    """Only that the process answers: not whether it can do anything."""
