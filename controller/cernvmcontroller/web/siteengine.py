"""What the web layer asks of the engine about hosts, clusters, appliances and feeds, as protocols.

`cernvmcontroller.web.engine` says what holds for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cernvmapi.clusters import Cluster, ClusterChange, ClusterCreate, ClusterMembers
    from cernvmapi.hosts import (
        DrainRequest,
        EvacuateRequest,
        HostAttach,
        HostChange,
        HostReport,
        HostTest,
        SeenDomain,
    )
    from cernvmapi.models import (
        Appliance,
        ApplianceCreate,
        CatalogueEntry,
        Feed,
        FeedCreate,
        FeedUpdate,
        Flavor,
        Host,
        Network,
        Operation,
        Page,
        Pool,
    )
    from cernvmcontroller.store import Actor
    from cernvmcontroller.store.entries import EntryQuery


class Drains(Protocol):
    """Hosts whose machines leave."""

    async def drain(self, actor: Actor, host_id: str, request: DrainRequest) -> Operation:
        """Take a host into maintenance and begin to move its machines; `HostUnreachable` for a dead one."""


class Evacuation(Protocol):
    """Dead hosts whose machines go on elsewhere."""

    async def evacuate(self, actor: Actor, host_id: str, request: EvacuateRequest) -> Operation:
        """Start them elsewhere; `Conflict` where the host answers, or may be on."""


class Inventory(Protocol):
    """What machines run on and are made of."""

    async def hosts(self) -> list[Host]:
        """Return the hosts, by name."""

    async def host(self, host_id: str) -> Host:
        """Return one host, by id or name."""

    async def networks(self) -> list[Network]:
        """Return the networks."""

    async def pools(self) -> list[Pool]:
        """Return the storage pools."""

    async def flavors(self) -> list[Flavor]:
        """Return the sizes, in the site's order."""


class Hosts(Protocol):
    """What is done with hosts."""

    async def test(self, request: HostTest) -> HostReport:
        """Connect, look and disconnect; why nothing answers is an answer too."""

    async def look(self, host_id: str) -> HostReport:
        """Return what there is on a host now."""

    async def domains(self, host_id: str) -> list[SeenDomain]:
        """Return all domains of a host now, foreign ones too."""

    async def attach(self, actor: Actor, request: HostAttach) -> Host:
        """Take a host in; `Conflict` where there is one of that name."""

    async def change(self, actor: Actor, host_id: str, request: HostChange) -> Host:
        """Change what is given; `Conflict` where the configuration says it."""

    async def detach(self, actor: Actor, host_id: str, *, forget: bool) -> None:
        """Let a host go; `Conflict` while machines or homes are on it."""


class Clusters(Protocol):
    """Named sets of hosts and machines."""

    async def all(self, *, host: str | None = None, machine: str | None = None) -> list[Cluster]:
        """Return the clusters, on request those that a host or a machine is in."""

    async def get(self, cluster_id: str) -> Cluster:
        """Return one cluster."""

    async def create(self, actor: Actor, request: ClusterCreate) -> Cluster:
        """Make a cluster; `Conflict` where there is one of that id or name."""

    async def change(self, actor: Actor, cluster_id: str, request: ClusterChange) -> Cluster:
        """Give it another name or description."""

    async def put_members(self, actor: Actor, cluster_id: str, request: ClusterMembers) -> Cluster:
        """Let hosts and machines come in and leave, all or nobody."""

    async def delete(self, actor: Actor, cluster_id: str) -> None:
        """Delete it; `Conflict` for the default one."""


class Repository(Protocol):
    """The appliances."""

    async def appliances(self) -> list[Appliance]:
        """Return the appliances, hidden ones included."""

    async def appliance(self, appliance_id: str) -> Appliance:
        """Return one appliance."""


class Feeds(Protocol):
    """The feeds."""

    async def feeds(self) -> list[Feed]:
        """Return the feeds, by title."""

    async def feed(self, feed_id: str) -> Feed:
        """Return one feed."""

    async def create(self, actor: Actor, request: FeedCreate) -> Feed:
        """Add a feed; `Conflict` where its id is taken, `Invalid` where its URL may not be fetched."""

    async def change(self, actor: Actor, feed_id: str, update: FeedUpdate) -> Feed:
        """Change a feed; `Conflict` for one of the configuration."""

    async def delete(self, actor: Actor, feed_id: str) -> None:
        """Delete a feed with what it offers; `Conflict` for one of the configuration."""

    async def refresh(self, actor: Actor, feed_id: str) -> Operation:
        """Begin to read a feed again; where that is under way already, return its operation."""


class Catalogue(Protocol):
    """What the feeds offer."""

    async def page(self, wanted: EntryQuery) -> Page[CatalogueEntry]:
        """Return one page; `Malformed` for a cursor of no page."""


class Downloads(Protocol):
    """Downloads into the repository."""

    async def create(self, actor: Actor, request: ApplianceCreate) -> Operation:
        """Begin a download; `Invalid` where nobody can say whether it is the right file, without consent."""
