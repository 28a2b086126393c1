"""The table of routes: all that the API does, in one place."""

from __future__ import annotations

from typing import Any

from cernvmapi.clusters import Cluster, ClusterChange, ClusterCreate, ClusterMembers
from cernvmapi.consoles import ConsoleRequest, ConsoleTicket, MachineKeys
from cernvmapi.definitions import Definition, MachineXml, XmlChange, XmlChanged
from cernvmapi.hardware import Hardware, HardwareChange
from cernvmapi.hosts import (
    DrainRequest,
    EvacuateRequest,
    HostAttach,
    HostChange,
    HostReport,
    HostTest,
    Proposal,
    SeenDomain,
)
from cernvmapi.lifecycle import BulkRequest, BulkResult, LockRequest, MoveRequest, StoreRequest
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
    Health,
    Host,
    Machine,
    MachineChange,
    MachineCreate,
    MachineStart,
    Network,
    Operation,
    Page,
    Pool,
    Session,
    Volume,
    VolumeChange,
)
from cernvmapi.snapshots import RevertRequest, Snapshot, SnapshotRequest
from cernvmapi.usage import Usage, UsageStatistics
from cernvmcontroller.web import metrics, queries
from cernvmcontroller.web.endpoints import (
    catalogue,
    clusters,
    consoles,
    definitions,
    events,
    hosts,
    lifecycle,
    machines,
    records,
    site,
    usage,
)
from cernvmcontroller.web.identity import Access
from cernvmcontroller.web.route import Route

_R, _W, _A = Access.READ, Access.WRITE, Access.ADMIN


def _route(  # noqa: PLR0917 - a line of a table
    verb: str, access: Access, endpoint: Any, result: Any, tag: str, summary: str, **more: Any
) -> Route:
    method, path = verb.split()
    return Route(method, path, access, endpoint, summary, result, tag, **more)


ROUTES: tuple[Route, ...] = (
    _route(
        "GET /machines", _R, machines.list_machines, Page[Machine], "machines",
        "List one's machines; administrators see all", query=queries.MachinesQuery,
    ),
    _route(
        "POST /machines", _W, machines.create_machine, Machine, "machines",
        "Make a machine, or get the one that is there for this hub server", body=MachineCreate,
        statuses=(201, 200),
    ),
    _route("GET /machines/{id}", _R, machines.get_machine, Machine, "machines", "Get a machine"),
    _route(
        "DELETE /machines/{id}", _W, machines.delete_machine, Operation, "machines",
        "Delete a machine and its disk; its home stays", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/start", _W, machines.start_machine, Operation, "machines",
        "Start a machine", body=MachineStart, statuses=(202,),
    ),
    _route(
        "PATCH /machines/{id}", _W, machines.change_machine, Machine, "machines",
        "Rename or relabel a machine; the hub and administrators hand it over, too",
        body=MachineChange, body_required=True,
    ),
    _route(
        "POST /machines/{id}/shutdown", _W, machines.shutdown_machine, Operation, "machines",
        "Shut a machine down in order", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/poweroff", _W, machines.poweroff_machine, Operation, "machines",
        "Switch a machine off without asking it", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/reboot", _W, machines.reboot_machine, Operation, "machines",
        "Reboot a machine", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/suspend", _W, lifecycle.suspend_machine, Operation, "machines",
        "Have a machine stand still, its memory kept", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/resume", _W, lifecycle.resume_machine, Operation, "machines",
        "Let a paused machine go on", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/reset", _W, lifecycle.reset_machine, Operation, "machines",
        "Reset a machine; nobody in it is asked", statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/store", _W, lifecycle.store_machine, Operation, "machines",
        "Write a machine's memory to its host's disk and lock it; its next start goes on there",
        body=StoreRequest, statuses=(202,),
    ),
    _route(
        "GET /machines/{id}/snapshots", _R, lifecycle.list_snapshots, Page[Snapshot], "machines",
        "List a machine's snapshots, the oldest first", asks_host=True,
    ),
    _route(
        "POST /machines/{id}/snapshots", _W, lifecycle.take_snapshot, Operation, "machines",
        "Keep what a machine's disk and home hold now, and its memory if it runs", body=SnapshotRequest,
        statuses=(202,),
    ),
    _route(
        "DELETE /machines/{id}/snapshots", _W, lifecycle.delete_snapshot, Operation, "machines",
        "Delete one of a machine's snapshots", query=queries.SnapshotQuery, statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/revert", _W, lifecycle.revert_machine, Operation, "machines",
        "Bring a machine back to a snapshot; what its disk and home got since is lost", body=RevertRequest,
        body_required=True, statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/move", _A, lifecycle.move_machine, Operation, "machines",
        "Move a machine to another host; a running one goes on running", body=MoveRequest, statuses=(202,),
    ),
    _route(
        "POST /machines/{id}/lock", _W, lifecycle.lock_machine, Machine, "machines",
        "Have a machine stay as it is until it is unlocked", body=LockRequest,
    ),
    _route(
        "POST /machines/{id}/unlock", _W, lifecycle.unlock_machine, Machine, "machines",
        "Unlock a machine; for who locked it, and administrators",
    ),
    _route(
        "POST /machines/actions", _W, lifecycle.act_on_machines, Page[BulkResult], "machines",
        "Do the same with many machines, or see what would become of it",
        body=BulkRequest, body_required=True,
    ),
    _route(
        "PUT /machines/{id}/session", _W, machines.put_machine_session, Machine, "machines",
        "Give a machine's notebook server its secrets; the hub only",
        body=Session, body_required=True,
    ),
    _route(
        "GET /machines/{id}/xml", _A, definitions.get_machine_xml, MachineXml, "machines",
        "Get a machine's domain as libvirt has it", asks_host=True,
    ),
    _route(
        "PUT /machines/{id}/xml", _A, definitions.put_machine_xml, XmlChanged, "machines",
        "Write a machine's definition, or see what that would change and which rules it breaks",
        body=XmlChange, body_required=True, asks_host=True,
    ),
    _route(
        "DELETE /machines/{id}/xml", _A, definitions.reset_machine_xml, XmlChanged, "machines",
        "Give a machine the hub's own definition back", asks_host=True,
    ),
    _route(
        "GET /machines/{id}/definitions", _A, definitions.list_definitions, Page[Definition], "machines",
        "List the changes of a machine's definition, the newest first",
    ),
    _route(
        "GET /machines/{id}/hardware", _A, definitions.get_hardware, Hardware, "machines",
        "Get what a machine is made of, and what of it counts from the next start on", asks_host=True,
    ),
    _route(
        "PATCH /machines/{id}/hardware", _A, definitions.change_hardware, Hardware, "machines",
        "Let a machine have other disks' buses and caches, cards, boot order, watchdog, TPM or firmware",
        body=HardwareChange, asks_host=True,
    ),
    _route(
        "GET /machines/{id}/console", _R, machines.get_machine_console, Console, "machines",
        "Get the end of a machine's serial console",
    ),
    _route(
        "POST /machines/{id}/console", _W, consoles.open_console, ConsoleTicket, "machines",
        "Get a ticket for the WebSocket of a machine's console", body=ConsoleRequest,
    ),
    _route(
        "GET /machines/{id}/screenshot", _R, consoles.get_screenshot, consoles.SCREENSHOT, "machines",
        "Get what is on a machine's screen", asks_host=True,
    ),
    _route(
        "POST /machines/{id}/keys", _W, consoles.press_keys, None, "machines",
        "Type on a machine's keyboard", body=MachineKeys, statuses=(204,),
    ),
    _route(
        "GET /machines/{id}/usage", _R, usage.get_machine_usage, Usage, "usage",
        "Get what a machine used over time", query=queries.UsageQuery,
    ),
    _route(
        "GET /hosts/{id}/usage", _A, usage.get_host_usage, Usage, "usage",
        "Get what the machines on a host used over time", query=queries.UsageQuery,
    ),
    _route(
        "GET /clusters/{id}/usage", _A, usage.get_cluster_usage, Usage, "usage",
        "Get what the machines of a cluster used over time", query=queries.UsageQuery,
    ),
    _route(
        "GET /appliances/{id}/usage", _A, usage.get_appliance_usage, Usage, "usage",
        "Get what the machines of an appliance used over time", query=queries.UsageQuery,
    ),
    _route(
        "GET /usage", _R, usage.get_usage, Usage, "usage",
        "Get what one's machines used over time; administrators get everybody's", query=queries.UsageOfQuery,
    ),
    _route(
        "GET /usage/machines", _R, usage.list_machines_usage, Page[Usage], "usage",
        "Get what each of many machines used over time", query=queries.UsageOfMachinesQuery,
    ),
    _route(
        "GET /usage/statistics", _R, usage.get_usage_statistics, UsageStatistics, "usage",
        "Get who started what, how long they waited and what was used", query=queries.StatisticsQuery,
    ),
    _route(
        "GET /operations", _R, records.list_operations, Page[Operation], "operations",
        "List operations, the newest first", query=queries.OperationsQuery,
    ),
    _route(
        "GET /operations/{id}", _R, records.get_operation, Operation, "operations",
        "Get an operation, on request when it is finished", query=queries.WaitQuery,
    ),
    _route(
        "DELETE /operations/{id}", _W, records.cancel_operation, Operation, "operations",
        "Cancel an operation", statuses=(202,),
    ),
    _route(
        "GET /volumes", _R, records.list_volumes, Page[Volume], "volumes",
        "List volumes", query=queries.VolumesQuery,
    ),
    _route("GET /volumes/{id}", _R, records.get_volume, Volume, "volumes", "Get a volume"),
    _route(
        "PATCH /volumes/{id}", _A, records.change_volume, Volume, "volumes",
        "Say whose home it is: hand it over, or rename its server", body=VolumeChange, body_required=True,
    ),
    _route(
        "DELETE /volumes/{id}", _W, records.delete_volume, None, "volumes",
        "Delete a volume and what is on it, for good", statuses=(204,),
    ),
    _route(
        "GET /appliances", _R, site.list_appliances, Page[Appliance], "site", "List the appliances"
    ),
    _route(
        "POST /appliances", _A, catalogue.download_appliance, Operation, "catalogue",
        "Download an entry of the catalogue, or what is at a URL, into the repository",
        body=ApplianceCreate, body_required=True, statuses=(202,),
    ),
    _route("GET /appliances/{id}", _R, site.get_appliance, Appliance, "site", "Get an appliance"),
    _route("GET /flavors", _R, site.list_flavors, Page[Flavor], "site", "List the sizes"),
    _route("GET /hosts", _A, site.list_hosts, Page[Host], "site", "List the hosts"),
    _route("GET /hosts/{id}", _A, site.get_host, Host, "site", "Get a host"),
    _route(
        "POST /hosts/test", _A, hosts.try_host, HostReport, "site",
        "Try a connection to a host and keep nothing of it", body=HostTest, body_required=True,
    ),
    _route(
        "POST /hosts", _A, hosts.attach_host, Host, "site", "Attach a host", body=HostAttach,
        body_required=True, statuses=(201,),
    ),
    _route(
        "GET /hosts/{id}/report", _A, hosts.look_at_host, HostReport, "site",
        "Get what there is on a host now, whoever made it",
    ),
    _route(
        "GET /hosts/{id}/domains", _A, hosts.list_domains, Page[SeenDomain], "machines",
        "List all domains on a host now, those too that this hub did not make", asks_host=True,
    ),
    _route(
        "PATCH /hosts/{id}", _A, hosts.change_host, Host, "site",
        "Rename, label, note, or take into maintenance", body=HostChange, body_required=True,
    ),
    _route(
        "POST /hosts/{id}/drain", _A, hosts.drain_host, Operation, "machines",
        "Take a host into maintenance and move its machines away", body=DrainRequest, statuses=(202,),
    ),
    _route(
        "POST /hosts/{id}/evacuate", _A, hosts.evacuate_host, Operation, "machines",
        "Start the machines of a dead host elsewhere, once it is certain to be off", body=EvacuateRequest,
    ),
    _route(
        "GET /proposals", _A, hosts.propose_moves, Page[Proposal], "machines",
        "Get moves that would spread the machines more evenly; nothing is done", query=queries.ProposalsQuery,
    ),
    _route(
        "DELETE /hosts/{id}", _A, hosts.detach_host, None, "machines",
        "Detach a host; what is on it stays there", query=queries.DetachQuery, statuses=(204,),
    ),
    _route(
        "GET /clusters", _A, clusters.list_clusters, Page[Cluster], "site", "List the clusters",
        query=queries.ClustersQuery,
    ),
    _route(
        "POST /clusters", _A, clusters.create_cluster, Cluster, "site", "Make a cluster",
        body=ClusterCreate, body_required=True, statuses=(201,),
    ),
    _route("GET /clusters/{id}", _A, clusters.get_cluster, Cluster, "site", "Get a cluster"),
    _route(
        "PATCH /clusters/{id}", _A, clusters.change_cluster, Cluster, "site",
        "Give a cluster another name or description", body=ClusterChange, body_required=True,
    ),
    _route(
        "POST /clusters/{id}/members", _A, clusters.put_cluster_members, Cluster, "machines",
        "Let hosts and machines come into a cluster and leave it", body=ClusterMembers, body_required=True,
    ),
    _route(
        "DELETE /clusters/{id}", _A, clusters.delete_cluster, None, "site",
        "Delete a cluster; its hosts and machines stay", statuses=(204,),
    ),
    _route("GET /networks", _A, site.list_networks, Page[Network], "site", "List the networks"),
    _route("GET /pools", _A, site.list_pools, Page[Pool], "site", "List the storage pools"),
    _route("GET /feeds", _A, catalogue.list_feeds, Page[Feed], "catalogue", "List the feeds"),
    _route(
        "POST /feeds", _A, catalogue.create_feed, Feed, "catalogue",
        "Add a feed, which is then read", body=FeedCreate, body_required=True, statuses=(201,),
    ),
    _route("GET /feeds/{id}", _A, catalogue.get_feed, Feed, "catalogue", "Get a feed"),
    _route(
        "PATCH /feeds/{id}", _A, catalogue.change_feed, Feed, "catalogue",
        "Change a feed; what is left out stays", body=FeedUpdate, body_required=True,
    ),
    _route(
        "DELETE /feeds/{id}", _A, catalogue.delete_feed, None, "catalogue",
        "Delete a feed and what it offers; what was downloaded stays", statuses=(204,),
    ),
    _route(
        "POST /feeds/{id}/refresh", _A, catalogue.refresh_feed, Operation, "catalogue",
        "Read a feed again now", statuses=(202,),
    ),
    _route(
        "GET /catalogue", _A, catalogue.list_catalogue, Page[CatalogueEntry], "catalogue",
        "List what the feeds offer, compared with what is here", query=queries.CatalogueQuery,
    ),
    _route(
        "GET /events", _R, events.follow_events, events.MEDIA_TYPE, "events",
        "Follow what happens, as server-sent events", query=queries.EventsQuery,
    ),
    _route(
        "GET /audit", _A, records.list_audit, Page[AuditRecord], "site",
        "List who did what, the newest first", query=queries.AuditQuery,
    ),
    _route(
        "GET /health", Access.PUBLIC, site.get_health, Health, "controller",
        "Say whether the controller works", query=queries.HealthQuery, statuses=(200, 503),
    ),
    _route(
        "GET /health/details", Access.MONITOR, site.get_health_details, Health, "controller",
        "Say how each part of the controller is", statuses=(200, 503),
    ),
    _route(
        "GET /metrics", Access.MONITOR, site.get_metrics, metrics.CONTENT_TYPE, "controller",
        "Get metrics for Prometheus",
    ),
    _route(
        "GET /openapi.json", Access.PUBLIC, site.get_openapi, dict[str, Any], "controller",
        "Get this document",
    ),
)  # fmt: skip
