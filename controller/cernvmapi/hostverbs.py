"""The verbs on hosts, their networks and pools, and clusters."""

from __future__ import annotations

from typing import Any

from cernvmapi.clusters import Cluster, ClusterChange, ClusterCreate, ClusterMembers
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
from cernvmapi.models import Host, Network, Operation, Pool
from cernvmapi.steps import pages, path, succeeded
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

LongList = list  # the name `list` is a verb below


class HostVerbs:
    """The hosts, for administrators; ``client.hosts``."""

    @verb
    def list(self) -> Steps[LongList[Host]]:
        """Return the hosts."""
        return pages("/hosts", Host, {})

    @verb
    def get(self, host_id: str) -> Call[Host]:
        """Return one host."""
        return Call("GET", path("hosts", host_id), Host)

    @verb
    def test(self, uri: str, credentials: str | None = None) -> Call[HostReport]:
        """Try a connection and keep nothing of it.

        Parameters
        ----------
        uri
            libvirt's: ``qemu+tls://node7/system``, …
        credentials
            Name of the controller's folder with certificates or keys.
        """
        return Call("POST", "/hosts/test", HostReport, body=HostTest(uri=uri, credentials=credentials))

    @verb
    def attach(self, name: str, uri: str, /, **fields: Any) -> Call[Host]:
        """Take a host in: its name, its connection URI, and other fields of `HostAttach` as keywords."""
        return Call("POST", "/hosts", Host, body=HostAttach(name=name, uris=[uri], **fields))

    @verb
    def look(self, host_id: str) -> Call[HostReport]:
        """Return what there is on a host now, whoever made it: pools, networks, domains, memory."""
        return Call("GET", path("hosts", host_id, "report"), HostReport)

    @verb
    def domains(self, host_id: str) -> Steps[LongList[SeenDomain]]:
        """Return all domains on a host now; `foreign` are those that this hub did not make."""
        return pages(path("hosts", host_id, "domains"), SeenDomain, {})

    @verb
    def change(self, host_id: str, /, **fields: Any) -> Call[Host]:
        """Change a host: the fields of `HostChange` as keywords (``maintenance=True``)."""
        return Call("PATCH", path("hosts", host_id), Host, body=HostChange(**fields))

    @verb
    def drain(
        self, host_id: str, *, at_once: int = 2, wait: bool = False, timeout: float | None = None
    ) -> Steps[Operation]:
        """Take a host into maintenance and move its machines away; they go on running.

        `wait` and `timeout` as for ``machines.start``. Its error names machines that cannot leave.

        Parameters
        ----------
        at_once
            How many are moved at the same time.
        """
        body = DrainRequest(at_once=at_once)
        operation = yield Call("POST", path("hosts", host_id, "drain"), Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))

    @verb
    def evacuate(self, host_id: str, *, is_off: bool = False) -> Call[Operation]:
        """Start the machines of a dead host elsewhere, where their volumes are reached.

        Parameters
        ----------
        is_off
            You have seen to it that the host is off and stays off. Without it the controller's fence command
            has to make sure.
        """
        body = EvacuateRequest(is_off=is_off)
        return Call("POST", path("hosts", host_id, "evacuate"), Operation, body=body)

    @verb
    def proposals(self, cluster: str | None = None) -> Steps[LongList[Proposal]]:
        """Return moves that would spread the machines more evenly; ``machines.move`` carries one out."""
        return pages("/proposals", Proposal, params(cluster=cluster))

    @verb
    def detach(self, host_id: str, *, forget: bool = False) -> Call[None]:
        """Let a host go; what is on it stays there.

        Parameters
        ----------
        forget
            Also with machines and homes on it, where it never answers again.
        """
        return Call("DELETE", path("hosts", host_id), None, params(forget=forget or None))


class ClusterVerbs:
    """Named sets of hosts and machines, for administrators; ``client.clusters``."""

    @verb
    def list(self, *, host: str | None = None, machine: str | None = None) -> Steps[LongList[Cluster]]:
        """Return the clusters, on request those that a host or a machine is in."""
        return pages("/clusters", Cluster, params(host=host, machine=machine))

    @verb
    def get(self, cluster_id: str) -> Call[Cluster]:
        """Return one cluster."""
        return Call("GET", path("clusters", cluster_id), Cluster)

    @verb
    def create(self, cluster_id: str, *, name: str | None = None, description: str = "") -> Call[Cluster]:
        """Make a cluster, with nothing in it."""
        body = ClusterCreate(id=cluster_id, name=name, description=description)
        return Call("POST", "/clusters", Cluster, body=body)

    @verb
    def change(
        self, cluster_id: str, *, name: str | None = None, description: str | None = None
    ) -> Call[Cluster]:
        """Give a cluster another name or description."""
        body = ClusterChange(name=name, description=description)
        return Call("PATCH", path("clusters", cluster_id), Cluster, body=body)

    @verb
    def put_members(self, cluster_id: str, /, **members: LongList[str]) -> Call[Cluster]:
        """Let hosts and machines come in and leave, all or nobody.

        Parameters
        ----------
        members
            ``add_hosts``, ``remove_hosts``, ``add_machines``, ``remove_machines``: lists of ids.
        """
        body = ClusterMembers(**members)
        return Call("POST", path("clusters", cluster_id, "members"), Cluster, body=body)

    @verb
    def delete(self, cluster_id: str) -> Call[None]:
        """Delete a cluster; its hosts and machines stay."""
        return Call("DELETE", path("clusters", cluster_id), None)


class NetworkVerbs:
    """The networks, for administrators; ``client.networks``."""

    @verb
    def list(self) -> Steps[LongList[Network]]:
        """Return the networks."""
        return pages("/networks", Network, {})


class PoolVerbs:
    """The storage pools, for administrators; ``client.pools``."""

    @verb
    def list(self) -> Steps[LongList[Pool]]:
        """Return the pools."""
        return pages("/pools", Pool, {})
