"""The verbs on appliances, and on the feeds that offer them."""

from __future__ import annotations

from typing import Any

from cernvmapi.models import (
    Appliance,
    ApplianceCreate,
    CatalogueEntry,
    Feed,
    FeedCreate,
    FeedUpdate,
    Operation,
    Page,
)
from cernvmapi.steps import LARGEST_PAGE, pages, path, succeeded
from cernvmapi.verb import Steps, verb
from cernvmapi.wire import Call, params

LongList = list  # the name `list` is a verb below


class ApplianceVerbs:
    """What machines are made from; ``client.appliances``."""

    @verb
    def list(self) -> Steps[LongList[Appliance]]:
        """Return the appliances."""
        return pages("/appliances", Appliance, {})

    @verb
    def get(self, appliance_id: str) -> Call[Appliance]:
        """Return one appliance."""
        return Call("GET", path("appliances", appliance_id), Appliance)

    @verb
    def download(
        self,
        entry: str | None = None,
        /,
        *,
        url: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
        **fields: Any,
    ) -> Steps[Operation]:
        """Download an appliance into the repository; for administrators.

        Parameters
        ----------
        entry
            Id of an entry of the catalogue.
        url
            Where the image is, instead.
        wait, timeout
            As for the start of a machine.
        fields
            The others of `ApplianceCreate`.
        """
        body = ApplianceCreate(entry=entry, url=url, **fields)
        operation = yield Call("POST", "/appliances", Operation, body=body)
        return (yield from succeeded(operation, wait, timeout))


class FeedVerbs:
    """The feeds, for administrators; ``client.feeds``."""

    @verb
    def list(self) -> Steps[LongList[Feed]]:
        """Return the feeds."""
        return pages("/feeds", Feed, {})

    @verb
    def get(self, feed_id: str) -> Call[Feed]:
        """Return one feed."""
        return Call("GET", path("feeds", feed_id), Feed)

    @verb
    def create(self, url: str, /, **fields: Any) -> Call[Feed]:
        """Add the feed at a URL; `fields` are those of `FeedCreate`."""
        return Call("POST", "/feeds", Feed, body=FeedCreate(url=url, **fields))

    @verb
    def change(self, feed_id: str, /, **fields: Any) -> Call[Feed]:
        """Change the `fields` of a feed, those of `FeedUpdate`."""
        return Call("PATCH", path("feeds", feed_id), Feed, body=FeedUpdate(**fields))

    @verb
    def delete(self, feed_id: str) -> Call[None]:
        """Delete a feed and what it offers; what was downloaded stays."""
        return Call("DELETE", path("feeds", feed_id), None)

    @verb
    def refresh(self, feed_id: str, *, wait: bool = False, timeout: float | None = None) -> Steps[Operation]:
        """Read a feed again; `wait` and `timeout` as for the start of a machine."""
        operation = yield Call("POST", path("feeds", feed_id, "refresh"), Operation)
        return (yield from succeeded(operation, wait, timeout))


class CatalogueVerbs:
    """What the feeds offer, for administrators; ``client.catalogue``."""

    @verb
    def list(
        self,
        *,
        feed: str | None = None,
        category: str | None = None,
        arch: str | None = None,
        search: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Call[Page[CatalogueEntry]]:
        """Return one page of the entries that fit all filters.

        Parameters
        ----------
        feed
            Id of a feed.
        search
            Words of a title, a description, a version, a type, a system, a licence.
        sort
            ``title``, ``updated``, ``category``, ``size`` or ``feed``; with ``-`` in front the other way
            round.
        """
        query = params(
            feed=feed, category=category, arch=arch, search=search, sort=sort, limit=limit, cursor=cursor
        )
        return Call("GET", "/catalogue", Page[CatalogueEntry], query)

    @verb
    def all(
        self,
        *,
        feed: str | None = None,
        category: str | None = None,
        arch: str | None = None,
        search: str | None = None,
        sort: str | None = None,
    ) -> Steps[LongList[CatalogueEntry]]:
        """Return the entries of all pages."""
        query = params(feed=feed, category=category, arch=arch, search=search, sort=sort, limit=LARGEST_PAGE)
        return pages("/catalogue", CatalogueEntry, query)
