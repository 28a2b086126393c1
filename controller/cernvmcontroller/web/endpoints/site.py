"""Endpoints of what a site offers, and of the controller itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from cernvmapi.errors import NotFound
from cernvmapi.models import Health
from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmapi.models import Appliance, Flavor, Host, Network, Page, Pool
    from cernvmcontroller.web.route import Exchange


async def list_appliances(exchange: Exchange) -> Page[Appliance]:
    """Answer with the appliances; hidden ones are for administrators."""
    page = await exchange.only_page(exchange.engine.repository.appliances())
    if exchange.who.admin:
        return page
    shown = [appliance for appliance in page.items if not appliance.hidden]
    return msgspec.structs.replace(page, items=shown, total=len(shown))


async def get_appliance(exchange: Exchange) -> Appliance:
    """Answer with one appliance."""
    appliance = await exchange.engine.repository.appliance(exchange.id)
    if appliance.hidden and not exchange.who.admin:
        raise NotFound(f"There is no appliance {exchange.id}.")
    return appliance


async def list_flavors(exchange: Exchange) -> Page[Flavor]:
    """Answer with the sizes."""
    return await exchange.only_page(exchange.engine.inventory.flavors())


async def list_hosts(exchange: Exchange) -> Page[Host]:
    """Answer with the hosts."""
    return await exchange.only_page(exchange.engine.inventory.hosts())


async def get_host(exchange: Exchange) -> Host:
    """Answer with one host."""
    return await exchange.engine.inventory.host(exchange.id)


async def list_networks(exchange: Exchange) -> Page[Network]:
    """Answer with the networks."""
    return await exchange.only_page(exchange.engine.inventory.networks())


async def list_pools(exchange: Exchange) -> Page[Pool]:
    """Answer with the storage pools."""
    return await exchange.only_page(exchange.engine.inventory.pools())


async def get_health(exchange: Exchange) -> Reply:
    """Answer with how the controller is and nothing else: anybody may ask."""
    if exchange.query.live:
        return Reply(Health(status="ok"))
    return _healthy(Health(status=(await exchange.engine.health()).status))


async def get_health_details(exchange: Exchange) -> Reply:
    """Answer with how each part of the controller is."""
    return _healthy(await exchange.engine.health())


def _healthy(health: Health) -> Reply:
    return Reply(health, status=503 if health.status == "down" else 200)


async def get_metrics(exchange: Exchange) -> bytes:
    """Answer with Prometheus' text."""
    figures = await exchange.engine.figures()
    # In a thread: with a thousand hosts it takes a moment.
    text: bytes = await asyncio.to_thread(exchange.services.metrics.text, figures)
    return text


async def get_openapi(exchange: Exchange) -> Any:
    """Answer with the OpenAPI document."""
    return exchange.services.document
