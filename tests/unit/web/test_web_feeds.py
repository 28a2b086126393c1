"""The catalogue through the API: real feeds and a real store between a client and a server of feeds."""

import asyncio
import json
import ssl

import pytest
from tests.unit.fetch.server import Server
from tests.unit.importer import images
from tests.unit.web.fakehub import HUB_TOKEN
from tests.unit.web.fuzzing import fuzz

from cernvmapi import AsyncClient
from cernvmapi.errors import Conflict, Forbidden, Invalid, NotFound, SourceFailed
from cernvmapi.models import encode
from cernvmcontroller.catalogue.catalogue import Catalogue
from cernvmcontroller.catalogue.feeds import Feeds
from cernvmcontroller.fetch import Fetcher, Policy
from cernvmcontroller.machines.operations import Operations
from cernvmcontroller.repository import Repository
from cernvmcontroller.repository.downloads import Downloads
from cernvmcontroller.store import Store
from cernvmcontroller.web import openapi
from cernvmcontroller.web.routes import ROUTES

HUB = "0b5c9b3e-7f51-4f0e-9d29-6f3b1f0a7c11"
RSS = (
    b"<rss version='2.0'><channel><title>F</title>%s<item><title>Two</title><category>Free</category>"
    b"<enclosure url='two.ova' length='7'/></item></channel></rss>"
)


async def nowhere(host, port):
    raise OSError(f"{host}:{port} is outside of the test")


@pytest.fixture
async def real(engine, served, tmp_path):
    """The engine in memory with a real store, real feeds and a real catalogue; the schedule does not run."""
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite", HUB)
    fetcher = Fetcher(Policy.of(["127.0.0.1"]), ssl.create_default_context(), nowhere)
    engine.feeds = Feeds(store, fetcher)
    engine.catalogue = Catalogue(store)
    engine.repository = Repository(store, [], None, tmp_path)
    engine.downloads = Downloads(store, fetcher, engine.repository)
    engine.operations = Operations(store, {"appliance.download": engine.downloads.cancel})
    yield served
    await engine.downloads.close()
    await engine.feeds.close()
    await store.close()


async def test_an_administrator_adds_a_feed_and_sees_what_it_offers(real):
    async with Server().run() as server, AsyncClient(real.url, "carol-admin") as client:
        server.page("/vm.rss", RSS % b"<item><title>One</title></item>")
        url = f"http://127.0.0.1:{server.port}/vm.rss"
        with pytest.raises(Invalid, match="allow_http"):
            await client.feeds.create(url)
        with pytest.raises(Invalid, match="inside of the site"):
            await client.feeds.create("https://169.254.169.254/latest")
        feed = await client.feeds.create(url, id="mine", title="Mine", allow_http=True)
        assert (feed.entries, feed.checked) == (0, None)
        with pytest.raises(Conflict):
            await client.feeds.create(url, id="mine", allow_http=True)
        done = await client.feeds.refresh("mine", wait=True, timeout=30)
        assert done.message == "2 entries, 2 of them new, different or gone."
        listed = await client.catalogue.list(sort="title", limit=1)
        assert (listed.total, [entry.title for entry in listed.items]) == (2, ["One"])
        rest = await client.catalogue.list(sort="title", limit=1, cursor=listed.next)
        (two,) = rest.items
        assert (two.title, two.category, two.size, two.feed_title) == ("Two", "Free", 7, "Mine")
        assert two.enclosures[0].url == f"http://127.0.0.1:{server.port}/two.ova"
        assert [entry.title for entry in await client.catalogue.all(category="Free")] == ["Two"]
        server.page("/vm.rss", b"", status="500 Broken")
        with pytest.raises(SourceFailed, match="status 500"):
            await client.feeds.refresh("mine", wait=True, timeout=30)
        failing = await client.feeds.get("mine")
        assert (failing.entries, failing.failing_since is not None) == (2, True)
        assert "500" in failing.error
        await client.feeds.delete("mine")
        assert await client.catalogue.all() == []
        with pytest.raises(NotFound):
            await client.feeds.refresh("mine")


async def test_an_administrator_downloads_what_a_feed_offers(real, tmp_path):
    image = images.qcow2(tmp_path / "apple").read_bytes()
    async with Server().run() as server, AsyncClient(real.url, "carol-admin") as client:
        server.page("/vm.rss", RSS % b"<item><title>One</title><enclosure url='one.qcow2'/></item>")
        server.file("/one.qcow2", image)
        await client.feeds.create(f"http://127.0.0.1:{server.port}/vm.rss", id="mine", allow_http=True)
        await client.feeds.refresh("mine", wait=True, timeout=30)
        one, two = await client.catalogue.all(sort="title")
        with pytest.raises(Invalid, match="unverified"):
            await client.appliances.download(one.id)
        await client.appliances.download(one.id, id="one", unverified=True, wait=True, timeout=30)
        assert not (await client.appliances.get("one")).origin.verified
        with pytest.raises(Conflict, match="There is an appliance one"):
            await client.appliances.download(one.id, id="one", unverified=True)
        server.page("/two.ova", b"", status="404 Not Found")
        with pytest.raises(SourceFailed, match="status 404"):
            await client.appliances.download(two.id, unverified=True, wait=True, timeout=30)
        with pytest.raises(NotFound):
            await client.appliances.download("e-nothing")
    async with AsyncClient(real.url, "alice-write") as client:
        with pytest.raises(Forbidden):
            await client.appliances.download(one.id, unverified=True)


async def test_whatever_is_sent_the_feeds_make_no_mistake(real):
    async with real.http(HUB_TOKEN) as http:
        body = {"id": "f-one", "url": "https://127.0.0.1:1025/", "enabled": False}
        assert (await http.post("/feeds", json=body)).status_code == 201
    document = json.loads(encode(openapi.document(ROUTES)))
    document["paths"] = {
        path: verbs
        for path, verbs in document["paths"].items()
        if path.split("/")[1] in {"feeds", "catalogue", "appliances"} and not path.endswith("/usage")
    }
    assert len(document["paths"]) == 6
    assert await asyncio.to_thread(fuzz, real.url, HUB_TOKEN, document) == []
