"""From what a feed offers to an appliance that is here: with progress, verified, or not at all."""

import asyncio
import contextlib
import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.unit.fetch.server import Server
from tests.unit.importer import images

from cernvmapi.errors import Conflict, Invalid, NotFound, StoreUnavailable
from cernvmapi.models import ApplianceCreate, Enclosure, Entry, OperationStatus
from cernvmcontroller.fetch import Fetcher, Policy, transfer
from cernvmcontroller.machines.operations import Operations
from cernvmcontroller.repository import Repository, downloads
from cernvmcontroller.repository.downloads import Downloads
from cernvmcontroller.repository.settings import DownloadSettings
from cernvmcontroller.store import Actor, Store, audit, entries, feeds
from cernvmcontroller.store.audit import AuditQuery
from cernvmcontroller.store.tables import FeedRow

HUB = "0b5c9b3e-7f51-4f0e-9d29-6f3b1f0a7c11"
CAROL = Actor("carol", "192.0.2.1", "r-1")
MIB = 1024**2


class Site:
    """A repository, a feed's entries, and the server that the images are on."""

    def __init__(self, store, server, folder):
        self.store, self.server, self.folder = store, server, folder
        self.settings = DownloadSettings()
        self.operations = None

    async def begin(self):
        """Start, as a controller does."""
        self.repository = Repository(self.store, [], None, self.folder / "state")
        await self.repository.load()
        fetcher = Fetcher(Policy.of(["127.0.0.1"]), ssl.create_default_context())
        self.downloads = Downloads(self.store, fetcher, self.repository, self.settings)
        self.operations = Operations(self.store, {"appliance.download": self.downloads.cancel})
        await self.downloads.start()

    async def restart(self):
        await self.downloads.close()
        await self.begin()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.port}{path}"

    async def offer(self, path="/apple.qcow2", *, signer="CN=Publisher", allow_http=True, **said):
        """Have a feed offer the file at a path; return the entry's id."""
        enclosure = Enclosure(
            url=self.url(path), length=said.pop("length", None), checksums=said.pop("checksums", {})
        )
        entry = Entry(guid=path, title="Apple", version="2.1", enclosures=[enclosure], **said)
        async with self.store.write(Actor.system(), "test", "feeds", audit=False) as tx:
            if await feeds.find(tx.session, "orchard") is None:
                row = FeedRow(id="orchard", title="O", url=self.url("/"), interval=3600, signer=signer)
                row.allow_http, row.digest = allow_http, "as it was read"
                await feeds.add(tx, row)
            await entries.replace(tx, "orchard", entries.prepared("orchard", [entry]))
        return entries.entry_id("orchard", path)

    async def ask(self, entry=None, **more):
        return await self.downloads.create(CAROL, ApplianceCreate(entry=entry, **more))

    async def end_of(self, operation):
        return await self.operations.wait(operation.id, 60)

    async def until(self, operation, check):
        """Return the operation as soon as it is as it shall be."""
        news = self.store.events.subscribe(types={"operation.changed"})
        async with asyncio.timeout(30):
            while not check(found := await self.operations.get(operation.id)):
                await anext(news)
        return found

    def left(self):
        """Return what downloads left behind."""
        return sorted(path.name for path in (self.folder / "state" / "downloads").glob("*"))


@pytest.fixture
async def site(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "_PAUSE", 0.001)
    monkeypatch.setattr(transfer, "_CHUNK", 65536)
    monkeypatch.setattr(downloads, "_TELL_EVERY", 0.0)
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite", HUB)
    async with Server().run() as server:
        made = Site(store, server, tmp_path)
        await made.begin()
        yield made
        await made.downloads.close()
    await store.close()


@pytest.fixture
def image(tmp_path):
    """Return an image with its checksums."""
    content = images.qcow2(tmp_path / "apple").read_bytes()
    return content, {name: hashlib.new(name, content).hexdigest() for name in ("sha256", "sha512")}


def endless(server, path, content):
    """Serve the begin of a file, and hold the rest back until told."""
    more = asyncio.Event()

    async def answer(writer, headers):
        start = int(headers["range"][6:-1]) if "range" in headers else 0
        part = f"206 P\r\nContent-Range: bytes {start}-" if start else "200 OK"
        head = f'HTTP/1.1 {part}\r\nETag: "v1"\r\nContent-Length: {len(content) - start}\r\n\r\n'
        writer.write(head.encode() + content[start : max(start, len(content) // 2)])
        await writer.drain()
        await more.wait()
        writer.write(content[max(start, len(content) // 2) :])

    server.paths[path] = answer
    return more


# --- what becomes an appliance ---


async def test_an_entry_becomes_an_appliance(site, image):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    entry = await site.offer(checksums=checksums, length=len(content), min_memory_mib=2048, firmware="uefi")
    asked = await site.ask(entry)
    assert (asked.subject, asked.cancellable) == ("appliance/apple-2-1", True)
    done = await site.end_of(asked)
    assert (done.status, done.progress, done.error) == (OperationStatus.SUCCEEDED, 100, None)
    (appliance,) = await site.repository.appliances()
    assert (appliance.title, appliance.version, appliance.virtual_size_mib) == ("Apple", "2.1", 8)
    assert (appliance.min_memory_mib, appliance.hardware.firmware, appliance.default) == (2048, "uefi", True)
    origin = appliance.origin
    assert (origin.feed, origin.entry, origin.sha256, origin.verified) == (
        "orchard",
        entry,
        checksums["sha256"],
        True,
    )
    manifest = await site.repository.image("apple-2-1")
    assert hashlib.sha256(manifest.image.read_bytes()).hexdigest() == appliance.sha256
    assert site.left() == []


async def test_progress_and_speed_are_told(site, image):
    content, checksums = image
    more = endless(site.server, "/apple.qcow2", content)
    asked = await site.ask(await site.offer(checksums=checksums))
    seen = await site.until(asked, lambda found: found.message.startswith("Downloading: "))
    assert " of " in seen.message
    assert seen.progress < 80
    more.set()
    done = await site.end_of(asked)
    assert done.message == "It is ready."


@pytest.mark.parametrize("end", ["ready", "cancelled"])
async def test_who_asks_for_an_appliance_that_is_not_yet_there_hears_that_it_is_coming(site, image, end):
    content, checksums = image
    more = endless(site.server, "/apple.qcow2", content)
    asked = await site.ask(await site.offer(checksums=checksums))
    await site.restart()
    with pytest.raises(NotFound, match="The appliance apple-2-1 is still being downloaded; try again when"):
        site.repository.choose("apple-2-1")
    with pytest.raises(NotFound, match="The first appliance is still being downloaded"):
        site.repository.choose(None)
    with pytest.raises(NotFound, match="There is no appliance pear"):
        site.repository.choose("pear")
    if end == "ready":
        more.set()
        assert (await site.end_of(asked)).status is OperationStatus.SUCCEEDED
        assert site.repository.choose("apple-2-1") == site.repository.choose(None)
        return
    await site.operations.cancel(CAROL, asked.id)
    for one in ("apple-2-1", None):
        with pytest.raises(NotFound, match="There is no appliance"):
            site.repository.choose(one)


async def test_what_is_at_a_url_becomes_an_appliance(site, image):
    content, checksums = image
    site.server.file("/pear.qcow2?token=secret", content)
    more = {"title": "Pear", "sha512": checksums["sha512"], "allow_http": True}
    done = await site.end_of(await site.ask(url=site.url("/pear.qcow2?token=secret"), id="pear", **more))
    assert done.status is OperationStatus.SUCCEEDED
    pear = await site.repository.appliance("pear")
    assert (pear.origin.verified, pear.origin.feed) == (True, None)
    assert pear.origin.url == site.url("/pear.qcow2")


async def test_a_checksum_beside_the_file_is_not_believed_without_encryption(site, image):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    site.server.page("/apple.sha256", f"{checksums['sha256']} *apple.qcow2\n".encode())
    entry = await site.offer(checksum_url=site.url("/apple.sha256"))
    with pytest.raises(Invalid, match="Nobody can say"):
        await site.ask(entry)
    done = await site.end_of(await site.ask(entry, unverified=True))
    assert done.status is OperationStatus.SUCCEEDED
    assert not (await site.repository.appliance("apple-2-1")).origin.verified


async def test_an_unverified_image_needs_consent_and_stays_marked(site, image):
    content, _ = image
    site.server.file("/apple.qcow2", content)
    entry = await site.offer()
    with pytest.raises(Invalid, match="take the risk with unverified"):
        await site.ask(entry)
    done = await site.end_of(await site.ask(entry, unverified=True))
    assert done.status is OperationStatus.SUCCEEDED
    await site.restart()
    assert (await site.repository.appliance("apple-2-1")).origin.verified is False
    async with site.store.read() as session:
        (record,) = (await audit.page(session, AuditQuery(action="appliance.download"))).rows
    assert (record.actor, record.details["unverified"]) == ("carol", True)


async def test_a_feed_that_anybody_on_the_way_could_change_is_not_believed(site, image):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    entry = await site.offer(checksums=checksums, signer=None)
    with pytest.raises(Invalid, match="Nobody can say"):
        await site.ask(entry)


async def test_what_has_to_be_read_anew_or_expired_is_not_believed(site, image):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    entry = await site.offer(checksums=checksums, expires=datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(Invalid, match="Nobody can say"):
        await site.ask(entry)
    entry = await site.offer(checksums=checksums)
    async with site.store.write(Actor.system(), "test", "feeds", audit=False) as tx:
        (await feeds.get(tx.session, "orchard")).digest = None
    with pytest.raises(Invalid, match="Nobody can say"):
        await site.ask(entry)


# --- what does not ---


async def check_nothing_came(site, operation, reason):
    done = await site.end_of(operation)
    assert done.status is OperationStatus.FAILED
    assert reason in done.error.detail
    assert await site.repository.appliances() == []
    assert list((site.folder / "state" / "repository").glob("*")) == []
    assert site.left() == []


async def test_another_file_than_the_announced_one_is_thrown_away_whatever_was_consented(site, image):
    content, checksums = image
    site.server.file("/apple.qcow2", content[:-1] + b"!")
    entry = await site.offer(checksums={"sha256": checksums["sha256"]})
    await check_nothing_came(site, await site.ask(entry, unverified=True), "is not the announced one")


@pytest.mark.parametrize(("length", "reason"), [(+1, "were announced"), (-1, "which is the most")])
async def test_a_length_that_lies_is_refused(site, image, length, reason):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    entry = await site.offer(checksums=checksums, length=len(content) + length)
    await check_nothing_came(site, await site.ask(entry), reason)


async def test_a_file_that_is_no_image_is_thrown_away(site):
    page = b"<html>Please log in</html>"
    site.server.file("/apple.qcow2", page)
    entry = await site.offer(checksums={"sha256": hashlib.sha256(page).hexdigest()})
    await check_nothing_came(site, await site.ask(entry), "no boot sector")


async def test_a_hostile_image_is_thrown_away_although_its_checksum_is_right(site, tmp_path):
    path = tmp_path / "evil"
    images.run("qemu-img", "create", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", path, "8M")
    content = path.read_bytes()
    site.server.file("/apple.qcow2", content)
    entry = await site.offer(checksums={"sha256": hashlib.sha256(content).hexdigest()})
    await check_nothing_came(site, await site.ask(entry), "backing file")


async def test_a_url_inside_of_the_site_is_refused_at_once(site):
    for url in (
        "https://169.254.169.254/latest",
        "https://127.0.0.2/",
        "https://2130706433/",
        "ftp://a.example/",
    ):
        with pytest.raises(Invalid):
            await site.ask(url=url, title="T", unverified=True)
    with pytest.raises(Invalid, match="without encryption"):
        await site.ask(url=site.url("/x"), title="T", unverified=True)


async def test_a_redirect_into_the_site_is_not_followed(site):
    site.server.redirect("/apple.qcow2", "http://169.254.169.254/latest/meta-data")
    operation = await site.ask(await site.offer(), unverified=True)
    await check_nothing_came(site, operation, "inside of the site")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "an entry of the catalogue, or a URL"),
        ({"entry": "e-1", "url": "https://a.example/"}, "an entry of the catalogue, or a URL"),
        ({"url": "https://a.example/"}, "give a title"),
    ],
)
async def test_what_to_download_must_be_clear(site, fields, reason):
    with pytest.raises(Invalid, match=reason):
        await site.downloads.create(CAROL, ApplianceCreate(unverified=True, **fields))


async def test_an_entry_that_is_not_there_or_offers_nothing_is_refused(site):
    with pytest.raises(NotFound):
        await site.ask("e-nothing")
    entry = await site.offer()
    async with site.store.write(Actor.system(), "test", "feeds", audit=False) as tx:
        row = await entries.get(tx.session, entry)
        row.said = msgspec.structs.replace(row.said, enclosures=[])
    with pytest.raises(Invalid, match="nothing to download"):
        await site.ask(entry)


# --- several, twice, cancelled, restarted ---


async def test_a_download_that_is_asked_for_twice_is_one(site, image):
    content, checksums = image
    more = endless(site.server, "/apple.qcow2", content)
    entry = await site.offer(checksums=checksums)
    first = await site.ask(entry)
    assert (await site.ask(entry)).id == first.id
    with pytest.raises(Conflict, match="choose another id"):
        await site.ask(entry, title="Another")
    more.set()
    await site.end_of(first)
    with pytest.raises(Conflict, match="There is an appliance"):
        await site.ask(entry)


async def test_only_so_many_come_at_the_same_time(site, image):
    content, checksums = image
    site.settings = DownloadSettings(at_once=1)
    await site.restart()
    more = endless(site.server, "/apple.qcow2", content)
    entry = await site.offer(checksums=checksums)
    first = await site.ask(entry, id="one")
    await site.until(first, lambda found: found.message.startswith("Downloading"))
    second = await site.ask(entry, id="two")
    assert second.message == "Waiting for its turn."
    assert len(site.server.requests) == 1
    more.set()
    for operation in (first, second):
        assert (await site.end_of(operation)).status is OperationStatus.SUCCEEDED
    assert [appliance.id for appliance in await site.repository.appliances()] == ["one", "two"]


async def test_a_download_is_cancelled_and_nothing_of_it_stays(site, image):
    content, checksums = image
    endless(site.server, "/apple.qcow2", content)
    operation = await site.ask(await site.offer(checksums=checksums))
    await site.until(operation, lambda found: found.message.startswith("Downloading"))
    assert site.left() == [operation.id]
    done = await site.operations.cancel(CAROL, operation.id)
    assert done.status is OperationStatus.CANCELLED
    assert site.left() == []
    assert await site.repository.appliances() == []
    with pytest.raises(Conflict, match="has ended already"):
        await site.operations.cancel(CAROL, operation.id)


async def test_a_download_whose_cancelling_cannot_be_written_down_goes_on(site, image, monkeypatch):
    content, checksums = image
    more = endless(site.server, "/apple.qcow2", content)
    operation = await site.ask(await site.offer(checksums=checksums))
    await site.until(operation, lambda found: found.message.startswith("Downloading"))

    def away(*_, **__):
        raise StoreUnavailable("The database is away.")

    with monkeypatch.context() as broken:
        broken.setattr(downloads.operations, "finish", away)
        with pytest.raises(StoreUnavailable):
            await site.operations.cancel(CAROL, operation.id)
    more.set()
    assert (await site.end_of(operation)).status is OperationStatus.SUCCEEDED


async def test_an_appliance_is_offered_only_when_that_is_written_down(site, image, monkeypatch):
    content, checksums = image
    monkeypatch.setattr("cernvmcontroller.store.surely._AGAIN", 0.01)
    site.server.file("/apple.qcow2", content)
    finish, offered = downloads.operations.finish, []

    async def once_away(*arguments, **more):
        offered.append(sorted(site.repository.bases()))
        if len(offered) == 1:
            raise StoreUnavailable("The database is away.")
        return await finish(*arguments, **more)

    monkeypatch.setattr(downloads.operations, "finish", once_away)
    assert (await site.end_of(await site.ask(await site.offer(checksums=checksums)))).error is None
    assert offered == [[], []]
    assert (await site.repository.appliance("apple-2-1")).default, (
        "the first one, though not at the first try"
    )


async def test_one_that_waits_for_its_turn_is_cancelled_too(site, image):
    content, _ = image
    site.settings = DownloadSettings(at_once=1)
    await site.restart()
    endless(site.server, "/apple.qcow2", content)
    entry = await site.offer()
    await site.ask(entry, id="one", unverified=True)
    second = await site.ask(entry, id="two", unverified=True)
    assert (await site.operations.cancel(CAROL, second.id)).status is OperationStatus.CANCELLED


async def test_a_download_goes_on_after_a_restart_where_it_was(site, image):
    content, checksums = image
    endless(site.server, "/apple.qcow2", content)
    operation = await site.ask(await site.offer(checksums=checksums))
    await site.until(operation, lambda found: found.progress > 0)
    await site.downloads.close()
    site.server.requests.clear()
    site.server.file("/apple.qcow2", content)
    await site.begin()
    done = await site.end_of(operation)
    assert done.status is OperationStatus.SUCCEEDED
    ((_, headers),) = site.server.requests
    assert int(headers["range"][6:-1]) > 0
    assert (await site.repository.appliance("apple-2-1")).origin.sha256 == checksums["sha256"]


async def test_an_import_that_a_restart_broke_off_is_done_again(site, image, monkeypatch):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    reached = asyncio.Event()

    async def never(*arguments):
        work = arguments[1]
        work.mkdir()
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(site.downloads, "_importer", never)
    operation = await site.ask(await site.offer(checksums=checksums))
    async with asyncio.timeout(30):
        await reached.wait()
    await site.restart()
    assert (await site.end_of(operation)).status is OperationStatus.SUCCEEDED
    assert len(site.server.requests) == 1


async def test_one_that_was_in_its_place_when_a_controller_was_killed_is_only_told(site, image, monkeypatch):
    content, checksums = image
    site.server.file("/apple.qcow2", content)
    reached = asyncio.Event()

    async def killed(*_):
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(site.downloads, "_offer", killed)
    operation = await site.ask(await site.offer(checksums=checksums))
    async with asyncio.timeout(30):
        await reached.wait()
    with pytest.raises(Conflict, match="too late to cancel"):
        await site.operations.cancel(CAROL, operation.id)
    await site.restart()
    assert (await site.end_of(operation)).status is OperationStatus.SUCCEEDED
    assert len(site.server.requests) == 1
    assert site.left() == []


async def test_what_nobody_goes_on_with_is_thrown_away_at_the_start(site):
    (site.folder / "state" / "downloads" / "o-forgotten" / "work").mkdir(parents=True)
    await site.restart()
    assert site.left() == []


async def test_a_database_that_is_away_for_a_moment_does_not_cost_the_download(site, image, monkeypatch):
    content, checksums = image
    monkeypatch.setattr("cernvmcontroller.store.surely._AGAIN", 0.01)
    site.server.file("/apple.qcow2", content)
    entry = await site.offer(checksums=checksums)
    whole, left = site.store.write, [1, 1, 1]

    @contextlib.asynccontextmanager
    async def write(actor, action, subject, **more):
        if subject in {"operations", "appliance/apple-2-1"} and actor.name == "controller" and left:
            left.pop()
            raise StoreUnavailable("The database is away.")
        async with whole(actor, action, subject, **more) as tx:
            yield tx

    monkeypatch.setattr(site.store, "write", write)
    assert (await site.end_of(await site.ask(entry))).status is OperationStatus.SUCCEEDED
    assert left == []


async def test_a_full_disk_says_so(site, image, monkeypatch):
    content, checksums = image
    site.server.file("/apple.qcow2", content)

    async def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(site.downloads, "_importer", full)
    operation = await site.ask(await site.offer(checksums=checksums))
    await check_nothing_came(site, operation, "is full: make room there")
