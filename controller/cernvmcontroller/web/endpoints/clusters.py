"""Endpoints of the clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmapi.clusters import Cluster
    from cernvmapi.models import Page
    from cernvmcontroller.web.route import Exchange


async def list_clusters(exchange: Exchange) -> Page[Cluster]:
    """Answer with the clusters."""
    query = exchange.query
    return await exchange.only_page(exchange.engine.clusters.all(host=query.host, machine=query.machine))


async def get_cluster(exchange: Exchange) -> Cluster:
    """Answer with one cluster."""
    return await exchange.engine.clusters.get(exchange.id)


async def create_cluster(exchange: Exchange) -> Reply:
    """Make a cluster."""
    cluster = await exchange.engine.clusters.create(exchange.actor, exchange.body)
    return Reply(cluster, headers={"Location": f"clusters/{cluster.id}"})


async def change_cluster(exchange: Exchange) -> Cluster:
    """Change a cluster's name or description."""
    return await exchange.engine.clusters.change(exchange.actor, exchange.id, exchange.body)


async def put_cluster_members(exchange: Exchange) -> Cluster:
    """Let hosts and machines come in and leave."""
    return await exchange.engine.clusters.put_members(exchange.actor, exchange.id, exchange.body)


async def delete_cluster(exchange: Exchange) -> Reply:
    """Delete a cluster."""
    await exchange.engine.clusters.delete(exchange.actor, exchange.id)
    return Reply(None)
