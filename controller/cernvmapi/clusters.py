"""Clusters as they go over the wire: named sets of hosts and machines."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import Annotated

from msgspec import Meta, field

from cernvmapi.models import Name, Received, Sent, Slug

DEFAULT_CLUSTER = "default"
"""Id of the cluster that all hosts and machines are in, for good."""

Notes = Annotated[str, Meta(max_length=10_000)]
_Member = Annotated[str, Meta(min_length=1, max_length=64)]


class Cluster(Sent, frozen=True, kw_only=True):
    """A named set of hosts and machines; each may be in several."""

    id: str
    """Chosen when it was made, and for good."""
    name: str
    description: str = ""
    hosts: list[str] = field(default_factory=list)
    """Ids of its hosts."""
    machines: int = 0
    """How many machines are in it; they are listed by ``GET /machines?cluster=``."""
    default: bool = False
    """All hosts and machines are in it; it cannot be deleted."""
    created: datetime


class ClusterCreate(Received, frozen=True, kw_only=True):
    """What a new cluster shall be."""

    id: Slug
    name: Name | None = None
    """None: its id."""
    description: Notes = ""


class ClusterChange(Received, frozen=True, kw_only=True):
    """What shall be different; what is None stays as it is."""

    name: Name | None = None
    description: Notes | None = None


class ClusterMembers(Received, frozen=True, kw_only=True):
    """Who comes into a cluster and who leaves it, all of them or nobody; ids."""

    add_hosts: list[_Member] = field(default_factory=list)
    remove_hosts: list[_Member] = field(default_factory=list)
    add_machines: Annotated[list[_Member], Meta(max_length=10_000)] = field(default_factory=list)
    remove_machines: Annotated[list[_Member], Meta(max_length=10_000)] = field(default_factory=list)
