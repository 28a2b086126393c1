"""Endpoints of the feeds and of the catalogue of what they offer, for administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmcontroller.store.entries import EntryQuery
from cernvmcontroller.web.route import Reply

if TYPE_CHECKING:
    from cernvmapi.models import CatalogueEntry, Feed, Page
    from cernvmcontroller.web.route import Exchange


async def list_feeds(exchange: Exchange) -> Page[Feed]:
    """Answer with the feeds."""
    return await exchange.only_page(exchange.engine.feeds.feeds())


async def get_feed(exchange: Exchange) -> Feed:
    """Answer with one feed."""
    return await exchange.engine.feeds.feed(exchange.id)


async def create_feed(exchange: Exchange) -> Reply:
    """Add a feed."""
    feed = await exchange.engine.feeds.create(exchange.actor, exchange.body)
    return Reply(feed, headers={"Location": f"feeds/{feed.id}"})


async def change_feed(exchange: Exchange) -> Feed:
    """Change a feed."""
    return await exchange.engine.feeds.change(exchange.actor, exchange.id, exchange.body)


async def delete_feed(exchange: Exchange) -> Reply:
    """Delete a feed and what it offers."""
    await exchange.engine.feeds.delete(exchange.actor, exchange.id)
    return Reply(None)


async def refresh_feed(exchange: Exchange) -> Reply:
    """Begin to read a feed again."""
    operation = await exchange.engine.feeds.refresh(exchange.actor, exchange.id)
    return Reply(operation, headers={"Location": f"../../operations/{operation.id}"})


async def list_catalogue(exchange: Exchange) -> Page[CatalogueEntry]:
    """Answer with one page."""
    query = exchange.query
    wanted = EntryQuery(
        feed=query.feed,
        category=query.category,
        arch=query.arch,
        search=query.search,
        sort=query.sort,
        limit=query.limit,
        cursor=query.cursor,
    )
    return await exchange.engine.catalogue.page(wanted)


async def download_appliance(exchange: Exchange) -> Reply:
    """Begin to download an appliance."""
    operation = await exchange.engine.downloads.create(exchange.actor, exchange.body)
    return Reply(operation, headers={"Location": f"operations/{operation.id}"})
