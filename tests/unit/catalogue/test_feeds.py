"""Feeds of a site: added, read from a real server, failing, well again, restarted, deleted."""

import asyncio
import ssl

import pytest
from tests.unit.catalogue.endorser import IMAGES, Endorser
from tests.unit.fetch.server import Server

from cernvmapi.errors import Conflict, Invalid, NotFound, StoreUnavailable
from cernvmapi.models import Appliance, FeedCreate, FeedUpdate, OperationStatus
from cernvmcontroller.catalogue import feeds as service
from cernvmcontroller.catalogue.catalogue import Catalogue
from cernvmcontroller.catalogue.feeds import Feeds
from cernvmcontroller.catalogue.readers.reading import read
from cernvmcontroller.catalogue.sources import DEFAULT_FEEDS, FeedSpec, load_feeds
from cernvmcontroller.fetch import Fetcher, Policy
from cernvmcontroller.machines.operations import Operations
from cernvmcontroller.store import Actor, Store, appliances, audit
from cernvmcontroller.store.audit import AuditQuery
from cernvmcontroller.store.entries import EntryQuery

HUB = "0b5c9b3e-7f51-4f0e-9d29-6f3b1f0a7c11"
CAROL = Actor("carol", "192.0.2.1", "r-1")
DIGEST = "ab" * 32


def rss(*titles):
    items = "".join(
        f"<item><title>{title}</title><guid>{title}</guid><x:version>2</x:version><x:sha256>{DIGEST}</x:sha256>"
        f"<enclosure url='i.qcow2' length='5'/></item>"
        for title in titles
    )
    return (
        f"<rss version='2.0' xmlns:x='urn:cernvmhub:feed'><channel><title>F</title>{items}</channel></rss>"
    ).encode()


class Site:
    """A store with feeds, and the server that they are on."""

    def __init__(self, store, server):
        self.store, self.server = store, server
        self.read = []
        """What was really read, not only fetched."""
        self.feeds = None
        self.operations = Operations(store, {})
        self.catalogue = Catalogue(store)

    async def begin(self, *configured):
        async def reading(content, url, authority):
            self.read.append(url)
            return read(content, url, authority)

        fetcher = Fetcher(Policy.of(["127.0.0.1"]), ssl.create_default_context())
        self.feeds = Feeds(self.store, fetcher, configured, reading)
        await self.feeds.start()

    def url(self, path="/feed"):
        return f"http://127.0.0.1:{self.server.port}{path}"

    async def add(self, path="/feed", **more):
        request = FeedCreate(
            **{"url": self.url(path), "id": "one", "allow_http": True, "enabled": False, **more}
        )
        return await self.feeds.create(CAROL, request)

    async def refresh(self, feed="one"):
        operation = await self.feeds.refresh(CAROL, feed)
        return await self.operations.wait(operation.id, 20)

    async def until(self, check, feed="one"):
        news = self.store.events.subscribe(types={"feed.changed"})
        async with asyncio.timeout(20):
            while not check(found := await self.feeds.feed(feed)):
                await anext(news)
        return found

    async def entries(self, **query):
        return (await self.catalogue.page(EntryQuery(**{"sort": "title", **query}))).items

    async def titles(self):
        return [entry.title for entry in await self.entries()]


@pytest.fixture
async def site(tmp_path):
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite", HUB)
    async with Server().run() as server:
        made = Site(store, server)
        await made.begin()
        yield made
        await made.feeds.close()
    await store.close()


async def test_a_feed_that_is_added_is_read(site):
    site.server.page("/feed", rss("a", "b"))
    feed = await site.add(enabled=True)
    assert (feed.title, feed.entries, feed.kind) == ("127.0.0.1", 0, None)
    feed = await site.until(lambda feed: feed.checked)
    assert (feed.entries, feed.kind, feed.error, feed.failing_since) == (2, "rss", "", None)
    assert feed.next_check > feed.checked
    assert await site.titles() == ["a", "b"]


async def test_a_feed_is_read_by_hand_as_an_operation(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    done = await site.refresh()
    assert (done.action, done.subject, done.status) == ("feed.refresh", "feed/one", OperationStatus.SUCCEEDED)
    assert done.message == "1 entries, 1 of them new, different or gone."
    with pytest.raises(NotFound):
        await site.feeds.refresh(CAROL, "two")


async def test_two_requests_read_a_feed_once(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    one, two = await site.feeds.refresh(CAROL, "one"), await site.feeds.refresh(CAROL, "one")
    assert one.id == two.id
    await site.operations.wait(one.id, 20)
    assert len(site.server.requests) == 1


async def test_what_did_not_change_costs_nothing(site):
    site.server.etag("/feed", rss("a"))
    await site.add()
    await site.refresh()
    before = site.store.events.last_id()
    done = await site.refresh()
    assert done.message == "Nothing had changed."
    assert site.server.requests[1][1]["if-none-match"] == '"v1"'
    assert len(site.read) == 1
    events = site.store.events.subscribe(before, types={"feed.changed"})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 0.05)


async def test_a_server_without_validators_costs_no_reading_either(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    await site.refresh()
    assert (await site.refresh()).message == "Nothing had changed."
    assert len(site.read) == 1


async def test_a_feed_that_fails_keeps_what_it_had_and_says_since_when_and_why(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    await site.refresh()
    good = await site.feeds.feed("one")
    site.server.page("/feed", b"gone", status="404 Not Found")
    done = await site.refresh()
    assert (done.status, done.error.code) == (OperationStatus.FAILED, "source-failed")
    failing = await site.feeds.feed("one")
    assert (failing.checked, failing.entries, failing.error) == (good.checked, 1, done.error.detail)
    assert "404" in failing.error
    site.server.page("/feed", b"<html>soon</html>")
    await site.refresh()
    worse = await site.feeds.feed("one")
    assert worse.failing_since == failing.failing_since
    assert "neither RSS nor Atom" in worse.error
    assert await site.titles() == ["a"]
    site.server.page("/feed", rss("b"))
    await site.refresh()
    well = await site.feeds.feed("one")
    assert (well.failing_since, well.error) == (None, "")
    assert await site.titles() == ["b"]


async def test_a_feed_that_is_well_again_with_the_same_content_says_so(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    await site.refresh()
    site.server.page("/feed", b"", status="503 Busy")
    await site.refresh()
    site.server.page("/feed", rss("a"))
    await site.refresh()
    assert (await site.feeds.feed("one")).failing_since is None


async def test_the_schedule_reads_what_is_due(site, monkeypatch):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    monkeypatch.setattr("cernvmcontroller.catalogue.schedule._FIRST_PAUSE", 0.01)
    site.server.page("/feed", b"", status="503 Busy")
    await site.add(enabled=True)
    async with asyncio.timeout(20):
        while len(site.server.requests) < 3:  # noqa: ASYNC110 - nothing tells what a server is asked
            await asyncio.sleep(0.01)
    site.server.page("/feed", rss("a"))
    feed = await site.until(lambda feed: feed.entries)
    assert feed.failing_since is None


async def test_the_schedule_goes_on_after_the_database_was_away(site, monkeypatch):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    due, away = service.feeds.due, [1, 1]

    async def sometimes(*arguments):
        if away:
            away.pop()
            raise StoreUnavailable("The database is away.")
        return await due(*arguments)

    monkeypatch.setattr(service.feeds, "due", sometimes)
    site.server.page("/feed", rss("a"))
    await site.add(enabled=True)
    await site.until(lambda feed: feed.entries)
    assert away == []


async def test_a_refresh_ends_though_the_database_is_away_at_its_end(site, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.store.surely._AGAIN", 0.01)
    finish, away = service.operations.finish, [1, 1]

    async def sometimes(*arguments, **more):
        if away:
            away.pop()
            raise StoreUnavailable("The database is away.")
        return await finish(*arguments, **more)

    monkeypatch.setattr(service.operations, "finish", sometimes)
    site.server.page("/feed", rss("a"))
    await site.add()
    assert (await site.refresh()).status is OperationStatus.SUCCEEDED


async def test_what_came_without_encryption_is_read_anew_once_that_is_not_allowed_any_more(site):
    site.server.etag("/feed", rss("a"))
    await site.add()
    await site.refresh()
    await site.feeds.close()
    secure = "https://feeds.example.org/"
    for url, allowed in ((site.url(), True), (secure, True), (secure, False)):
        configured = [FeedSpec(id="two", title="Two", url=url, allow_http=allowed)]
        async with site.store.write(Actor.system(), "test", "feeds", audit=False) as tx:
            for row in await service.feeds.listed(tx.session):
                row.digest = "as it was read"
        await Feeds(site.store, Fetcher(Policy(), ssl.create_default_context()), configured)._load()
    async with site.store.read() as session:
        assert (await service.feeds.get(session, "two")).digest is None
        assert (await service.feeds.get(session, "one")).digest is not None


async def test_a_feed_inside_of_the_site_is_refused_when_it_is_added(site):
    for url in ("https://10.0.0.1/feed", "https://[::1]/", "https://2130706433/", "ftp://feeds.example/"):
        with pytest.raises(Invalid):
            await site.feeds.create(CAROL, FeedCreate(url=url))
    with pytest.raises(Invalid, match="encryption"):
        await site.add(allow_http=False)
    with pytest.raises(Invalid):
        await site.feeds.create(CAROL, FeedCreate(url="builtin:cernvm"))
    with pytest.raises(Invalid, match="PEM"):
        await site.add(authority="hello")
    assert await site.feeds.feeds() == []


async def test_two_feeds_do_not_share_an_id(site):
    await site.add()
    with pytest.raises(Conflict):
        await site.add()


async def test_a_feed_at_another_url_is_read_anew(site):
    site.server.etag("/feed", rss("a"))
    site.server.etag("/other", rss("b"))
    await site.add()
    await site.refresh()
    await site.feeds.change(CAROL, "one", FeedUpdate(url=site.url("/other"), title="Mine"))
    await site.refresh()
    assert "if-none-match" not in site.server.requests[1][1]
    assert await site.titles() == ["b"]
    with pytest.raises(Invalid):
        await site.feeds.change(CAROL, "one", FeedUpdate(allow_http=False))
    assert (await site.feeds.feed("one")).allow_http


async def test_what_is_read_while_a_feed_is_changed_is_not_kept(site):
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(writer, headers):
        begun.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + rss("old"))

    site.server.paths["/feed"] = slow
    await site.add()
    operation = await site.feeds.refresh(CAROL, "one")
    await begun.wait()
    await site.feeds.change(CAROL, "one", FeedUpdate(url=site.url("/other")))
    go.set()
    assert (await site.operations.wait(operation.id, 20)).status is OperationStatus.FAILED
    assert await site.titles() == []


async def test_unsigned_content_is_refused_once_an_authority_is_set(site, tmp_path):
    endorser = Endorser(tmp_path, "endorser")
    site.server.page("/feed", IMAGES.read_bytes())
    await site.add()
    await site.refresh()
    assert {entry.verified for entry in await site.entries()} == {False}
    await site.feeds.change(CAROL, "one", FeedUpdate(authority=endorser.authority))
    await site.refresh()
    feed = await site.feeds.feed("one")
    assert (feed.signed, feed.signer) == (True, None)
    assert "not signed" in feed.error
    assert {entry.verified for entry in await site.entries()} == {False}  # it keeps them, as what they were
    site.server.page("/feed", endorser.sign(IMAGES.read_bytes()))
    await site.refresh()
    assert "endorser" in (await site.feeds.feed("one")).signer
    assert {entry.verified for entry in await site.entries()} == {True}


async def test_the_list_says_what_is_here_already(site):
    site.server.page("/feed", rss("CernVM"))
    await site.add(title="Mine")
    await site.refresh()
    (entry,) = await site.entries()
    assert (entry.feed, entry.feed_title, entry.downloaded, entry.newer) == ("one", "Mine", None, False)
    for version, sha256, downloaded, newer in (("1", "0" * 64, None, True), ("2", DIGEST, "vm", False)):
        here = Appliance(
            id="vm", title="CernVM", version=version, sha256=sha256, size=1, virtual_size_mib=1,
            updated=(await site.feeds.feed("one")).created,
        )  # fmt: skip
        async with site.store.write(CAROL, "appliance.add", "appliance/vm") as tx:
            await appliances.put(tx, here, "/image")
        (entry,) = await site.entries()
        assert (entry.downloaded, entry.newer) == (downloaded, newer)


async def test_a_deleted_feed_is_gone_with_what_it_offered(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    await site.refresh()
    await site.feeds.delete(CAROL, "one")
    assert await site.titles() == []
    with pytest.raises(NotFound):
        await site.feeds.feed("one")


async def test_who_did_what_is_recorded(site):
    site.server.page("/feed", rss("a"))
    await site.add()
    await site.refresh()
    await site.feeds.change(CAROL, "one", FeedUpdate(title="x"))
    await site.feeds.delete(CAROL, "one")
    async with site.store.read() as session:
        rows = (await audit.page(session, AuditQuery())).rows
    assert [row.action for row in reversed(rows)] == [
        "feed.create",
        "feed.refresh",
        "feed.change",
        "feed.delete",
    ]
    assert {(row.actor, row.subject, row.address) for row in rows} == {("carol", "feed/one", "192.0.2.1")}


async def test_feeds_of_the_configuration_are_changed_there(site):
    spec = FeedSpec(id="site", url=site.url(), title="Site", allow_http=True)
    site.server.page("/feed", rss("a"))
    await site.feeds.close()
    await site.begin(spec)
    feed = await site.until(lambda feed: feed.entries, "site")
    assert (feed.configured, feed.title) == (True, "Site")
    for refused in (
        site.feeds.delete(CAROL, "site"),
        site.feeds.change(CAROL, "site", FeedUpdate(title="Mine")),
    ):
        with pytest.raises(Conflict, match="configuration"):
            await refused
    await site.feeds.change(CAROL, "site", FeedUpdate(enabled=False))
    await site.feeds.close()
    await site.begin(FeedSpec(id="site", url=site.url(), title="Renamed", allow_http=True))
    feed = await site.feeds.feed("site")
    assert (feed.title, feed.enabled, feed.entries) == ("Renamed", False, 1)
    await site.feeds.close()
    await site.begin()
    assert await site.feeds.feeds() == []


async def test_cernvms_releases_are_offered_out_of_the_box(site):
    await site.feeds.close()
    await site.begin(*load_feeds(DEFAULT_FEEDS))
    await site.until(lambda feed: feed.entries, "cernvm")
    assert site.server.requests == []
    (newest, *_) = await site.entries(search="2021.05")
    assert (newest.feed_title, newest.version) == ("CernVM releases", "2021.05-1")


@pytest.mark.parametrize(
    "entries",
    [
        [{"url": "https://e.test/"}],
        [{"id": "a", "url": "https://e.test/", "colour": 1}],
        [{"id": "a", "url": "https://e.test/"}, {"id": "a", "url": "https://e.test/"}],
        [{"id": "a", "url": "builtin:nothing"}],
        [{"id": "a", "url": "https://e.test/", "interval": 1}],
    ],
)
def test_a_configuration_that_cannot_be_is_refused(entries):
    with pytest.raises(Invalid):
        load_feeds(entries)
