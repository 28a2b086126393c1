"""From a feed to a machine: an image is announced, downloaded, imported, and really boots."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.unit.fetch.server import Server

from cernvmapi.models import ApplianceCreate, FeedCreate, MachineCreate, OperationStatus
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.clean import Clean
from cernvmcontroller.store import Actor
from cernvmcontroller.store.entries import EntryQuery

pytestmark = pytest.mark.machines

BUILD = Path(__file__).parents[2] / "appliance" / "build"
HUB = "feedslab"
CAROL = Actor("carol")
FEED = """<rss version="2.0" xmlns:hub="urn:cernvmhub:feed"><channel><title>Orchard</title><item>
<title>Apple</title><guid>apple</guid><enclosure url="apple.qcow2.xz" length="{length}"/>
<hub:version>1.0</hub:version><hub:minMemory>64</hub:minMemory><hub:firmware>{firmware}</hub:firmware>
</item></channel></rss>"""


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    """Return the tiny guest's image as somebody would offer it, and its manifest."""
    built = subprocess.run(
        [sys.executable, str(BUILD), "tiny"], check=True, stdout=subprocess.PIPE, text=True
    )
    manifest = Path(built.stdout.strip())
    said = json.loads(manifest.read_text())
    packed = tmp_path_factory.mktemp("offered") / "apple.qcow2.xz"
    with packed.open("wb") as result:
        subprocess.run(["xz", "-0c", manifest.parent / said["file"]], check=True, stdout=result)
    return packed.read_bytes(), said


@pytest.fixture
async def program(tmp_path):
    options = {
        "state_dir": str(tmp_path),
        "hub_name": HUB,
        "subnet": "10.105.0.0/24",
        "hosts": [{"name": "here", "uris": ["qemu:///system"], "acceleration": "qemu"}],
        "appliances": [],
        "feeds": [],
        "fetch_allowed": ["127.0.0.1"],
        "flavors": [{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 128, "disk_mib": 64}],
    }
    await Clean(**options).run()
    yield CernVMController(**options)
    await Clean(**options).run()


async def test_what_a_feed_offers_becomes_a_machine(program, offered):
    image, said = offered
    async with Server().run() as server, AsyncExitStack() as stack:
        feed = FEED.format(length=len(image), firmware=said.get("hardware", {}).get("firmware", "bios"))
        server.page("/feed", feed.encode())
        server.file("/apple.qcow2.xz", image, breaks=[len(image) // 2])
        engine = await program.open(stack)
        await engine.inventory.settled(60)
        url = f"http://127.0.0.1:{server.port}/feed"
        await engine.feeds.create(CAROL, FeedCreate(url=url, id="orchard", allow_http=True))
        read = await engine.feeds.refresh(CAROL, "orchard")
        assert (await engine.operations.wait(read.id, 30)).status is OperationStatus.SUCCEEDED

        (entry,) = (await engine.catalogue.page(EntryQuery())).items
        asked = await engine.downloads.create(CAROL, ApplianceCreate(entry=entry.id, unverified=True))
        done = await engine.operations.wait(asked.id, 120)
        assert (done.status, done.error) == (OperationStatus.SUCCEEDED, None)
        (entry,) = (await engine.catalogue.page(EntryQuery())).items
        assert entry.downloaded == "apple-1-0"
        appliance = await engine.repository.appliance("apple-1-0")
        assert appliance.origin.sha256 == hashlib.sha256(image).hexdigest()
        assert appliance.virtual_size_mib == said["virtual_size_mib"]

        machine, _ = await engine.machines.create(CAROL, MachineCreate(appliance="apple-1-0"), "carol")
        start = await engine.machines.start(CAROL, machine.id, None)
        started = await engine.operations.wait(start.id, 120)
        assert (started.status, started.error) == (OperationStatus.SUCCEEDED, None)
        async with asyncio.timeout(90):
            while "CERNVMHUB-TINY-READY" not in (await engine.machines.console(machine.id)).text:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        gone = await engine.machines.delete(CAROL, machine.id)
        assert (await engine.operations.wait(gone.id, 60)).status is OperationStatus.SUCCEEDED
