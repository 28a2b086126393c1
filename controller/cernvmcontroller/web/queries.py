"""The query parameters of the routes, as types: decoded by them and described by them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

# ruff: noqa: TC001 - msgspec reads the annotations at run time
from cernvmapi.models import OperationStatus, Status, VolumeKind
from cernvmapi.snapshots import SnapshotName
from cernvmapi.usage import Grouping

Text = Annotated[str, Meta(max_length=255)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Moment = Annotated[datetime, Meta(tz=True)]
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
    """With each of these words in its name, owner, address, id or host."""
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


class SnapshotQuery(NoQuery, frozen=True, kw_only=True):
    """Which snapshot."""

    name: SnapshotName
    """Its name."""


class ProposalsQuery(NoQuery, frozen=True, kw_only=True):
    """Which hosts shall be evened."""

    cluster: Text | None = None
    """Those of this cluster, by id; None: all."""


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


class CatalogueQuery(Paged, frozen=True, kw_only=True):
    """Which entries of the catalogue."""

    feed: Text | None = None
    """Of this feed."""
    category: Text | None = None
    """Of this type, as the feed calls it."""
    arch: Text | None = None
    """For this architecture."""
    search: Text | None = None
    """With each of these words in its title, description, version, type, system or licence."""
    sort: Annotated[str, Meta(pattern=r"^-?(title|updated|category|size|feed)$")] = "-updated"
    """By what; with `-` in front the other way round."""


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


class RangeQuery(NoQuery, frozen=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    """Which time."""

    begin: Moment | None = None
    """From when on, with a time zone: `2026-03-01T00:00:00Z`."""
    end: Moment | None = None
    """Up to when; now."""


class UsageQuery(RangeQuery, frozen=True, kw_only=True):
    """Which time, an hour if nothing is said, and how finely."""

    resolution: Annotated[int, Meta(ge=1)] | None = None
    """Seconds between two points: 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200 or 86400."""
    points: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Instead: how many points at most, 120 if nothing is said."""


class UsageOfQuery(UsageQuery, frozen=True, kw_only=True):
    """Whose, and which time."""

    owner: Text | None = None
    """Of this user; others' only for administrators, who get everybody's without it."""


class UsageOfMachinesQuery(UsageQuery, frozen=True, kw_only=True):
    """Which machines, and which time."""

    ids: Annotated[list[Text], Meta(max_length=200)] = []
    """Of at most 200 machines."""


class StatisticsQuery(RangeQuery, frozen=True, kw_only=True):
    """Of what, and which time, 30 days if nothing is said."""

    by: Grouping = Grouping.APPLIANCE
    """One item an appliance, or a user."""
    owner: Text | None = None
    """Of this user; others' only for administrators, who get everybody's without it."""
