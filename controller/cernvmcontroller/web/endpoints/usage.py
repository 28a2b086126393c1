"""Endpoints of what machines used.

A user sees what is theirs; sums over several users are for administrators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.models import Page
from cernvmcontroller.metering.history import Range
from cernvmcontroller.web.endpoints.machines import list_owner, mine

if TYPE_CHECKING:
    from cernvmapi.usage import Usage, UsageStatistics
    from cernvmcontroller.web.queries import UsageQuery
    from cernvmcontroller.web.route import Exchange


def _range(query: UsageQuery) -> Range:
    return Range(query.begin, query.end, query.resolution, query.points)


async def get_machine_usage(exchange: Exchange) -> Usage:
    """Answer with what a machine used, to a user while it was theirs."""
    machine = await mine(exchange)
    return await exchange.engine.usage.machine(machine.id, exchange.only_owner, _range(exchange.query))


async def get_host_usage(exchange: Exchange) -> Usage:
    """Answer with what the machines on a host used."""
    host = await exchange.engine.inventory.host(exchange.id)
    return await exchange.engine.usage.host(host.id, _range(exchange.query))


async def get_cluster_usage(exchange: Exchange) -> Usage:
    """Answer with what the machines of a cluster used."""
    cluster = await exchange.engine.clusters.get(exchange.id)
    return await exchange.engine.usage.cluster(cluster.id, _range(exchange.query))


async def get_appliance_usage(exchange: Exchange) -> Usage:
    """Answer with what the machines of an appliance used."""
    appliance = await exchange.engine.repository.appliance(exchange.id)
    return await exchange.engine.usage.appliance(appliance.id, _range(exchange.query))


async def get_usage(exchange: Exchange) -> Usage:
    """Answer with what somebody's machines used; to an administrator, everybody's."""
    return await exchange.engine.usage.owner(list_owner(exchange), _range(exchange.query))


async def list_machines_usage(exchange: Exchange) -> Page[Usage]:
    """Answer with what each of many machines used, in the order in which they were asked for."""
    query = exchange.query
    found = await exchange.engine.usage.machines(query.ids, exchange.only_owner, _range(query))
    return Page(items=found, total=len(found))


async def get_usage_statistics(exchange: Exchange) -> UsageStatistics:
    """Answer with who started what, how long they waited, and what was used."""
    query = exchange.query
    wanted = Range(query.begin, query.end)
    return await exchange.engine.usage.statistics(list_owner(exchange), query.by, wanted)
