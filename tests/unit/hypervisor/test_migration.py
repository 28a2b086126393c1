"""The contract of what moves domains and volumes: a fake pair, and two real hosts of the lab."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.lab.hosts import hosts
from tests.unit.hypervisor.bench import Bench, tiny_image

from cernvmapi.errors import HypervisorFailed, NotFound
from cernvmapi.models import Power
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.interface import DomainState, WrongState
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from cernvmcontroller.hypervisor.livemigration import relocated
from cernvmcontroller.hypervisor.migration import Passage
from cernvmcontroller.hypervisor.specs import PoolSpec, VolumeRef
from cernvmcontroller.hypervisor.volumecopy import rebased

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

QEMU = pytest.param("qemu", marks=pytest.mark.machines)


@dataclass
class Pair:
    """Two hypervisors with the same network, each with a pool of its own at another path."""

    here: Bench
    there: Bench
    address: str | None = None

    @property
    def passage(self) -> Passage:
        """From one to the other, disks copied."""
        files = {
            f"{self.here.pool.path}/{name}": f"{self.there.pool.path}/{name}" for name in ("root", "base")
        }
        return Passage(address=self.address, copied=True, files=files)

    async def runs(self) -> str:
        """Return the UUID of a domain that runs here, on an overlay; its empty overlay is there."""
        for each in (self.here, self.there):
            base = await each.hypervisor.upload_volume(each.pool.name, "base", tiny_image(), format="qcow2")
            overlay = await each.hypervisor.create_volume(
                each.pool.name, "root", capacity=base.capacity, backing=base
            )
            if each is self.here:
                root = VolumeRef(overlay.path, "qcow2", ((base.path, "qcow2"),))
        spec = await self.here.defined(root=root)
        self.there.made.append(spec.uuid)
        await self.here.hypervisor.start(spec.uuid)
        return spec.uuid

    async def states(self, uuid: str) -> tuple[DomainState | None, DomainState | None]:
        """Return what both say of a domain."""
        return await self.here.hypervisor.domain(uuid), await self.there.hypervisor.domain(uuid)


@asynccontextmanager
async def _opened(here: Bench, there: Bench, address: str | None) -> AsyncIterator[Pair]:
    there.prefix, there.network, there.filter = here.prefix, here.network, here.filter
    there.pool = PoolSpec(f"{here.prefix}-there", f"{here.pool.path}-there")
    for each in (here, there):
        await each.hypervisor.open()
        await each.surroundings()
    try:
        yield Pair(here, there, address)
    finally:
        for each in (here, there):
            await each.clean()
            await each.hypervisor.close()


@pytest.fixture(params=["fake", QEMU])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    if request.param == "fake":
        benches = [Bench(FakeHypervisor(f"fake://{name}/system"), "fake") for name in ("alpha", "beta")]
        async with _opened(*benches, address=None) as made:
            yield made
        return
    async with hosts(2) as (alpha, beta):
        benches = [Bench(LibvirtHypervisor(host.tls_uri), "qemu") for host in (alpha, beta)]
        async with _opened(*benches, address=beta.address) as made:
            yield made


class TestMigration:
    async def test_a_running_domain_goes_on_there_and_is_gone_here(self, pair: Pair) -> None:
        uuid = await pair.runs()
        seen: list[int] = []
        here, there = pair.here.hypervisor, pair.there.hypervisor
        await here.migrate(uuid, there.peer, pair.passage, seen.append)
        before, after = await pair.states(uuid)
        assert before is None
        assert after is not None
        assert (after.power, after.reason) == (Power.ON, "migrated")
        assert after.metadata is not None
        assert after.metadata.owner == "alice"
        assert all(0 <= percent <= 100 for percent in seen)
        xml = await there.domain_xml(uuid)
        assert f"{pair.there.pool.path}/root" in xml
        assert f"{pair.here.pool.path}/" not in xml
        await there.destroy(uuid)
        assert await pair.there.power(uuid) is Power.OFF, "its definition stays"
        assert pair.here.pool.path + "/" not in await there.domain_xml(uuid)

    async def test_a_domain_that_is_off_is_not_migrated(self, pair: Pair) -> None:
        uuid = await pair.runs()
        here, there = pair.here.hypervisor, pair.there.hypervisor
        await here.destroy(uuid)
        with pytest.raises(WrongState):
            await here.migrate(uuid, there.peer, pair.passage)
        with pytest.raises(NotFound):
            await here.migrate(str(uuid4()), there.peer, pair.passage)

    async def test_what_cannot_run_there_runs_on_here(self, pair: Pair) -> None:
        uuid = await pair.runs()
        here, there = pair.here.hypervisor, pair.there.hypervisor
        await there.delete_volume(pair.there.pool.name, "base")
        with pytest.raises(HypervisorFailed):
            await here.migrate(uuid, there.peer, replace(pair.passage, files={}))
        before, after = await pair.states(uuid)
        assert before is not None
        assert before.power is Power.ON
        assert after is None

    async def test_a_migration_that_is_cancelled_leaves_the_domain_here(self, pair: Pair) -> None:
        uuid = await pair.runs()
        here, there = pair.here.hypervisor, pair.there.hypervisor
        task = asyncio.ensure_future(here.migrate(uuid, there.peer, pair.passage))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before, after = await pair.states(uuid)
        on = [state for state in (before, after) if state is not None and state.power is Power.ON]
        assert len(on) == 1, "on exactly one side, whoever was faster"

    async def test_breaking_off_where_nothing_is_under_way(self, pair: Pair) -> None:
        uuid = await pair.runs()
        await pair.here.hypervisor.abort_migration(uuid)
        await pair.here.hypervisor.abort_migration(str(uuid4()))
        assert await pair.here.power(uuid) is Power.ON


class TestVolumes:
    async def test_a_volume_is_copied_with_its_content_once(self, pair: Pair) -> None:
        here, there = pair.here, pair.there
        content = bytes(range(256)) * 4096
        await here.hypervisor.upload_volume(here.pool.name, "notes", content, format="raw")
        seen: list[int] = []
        copy = await here.hypervisor.copy_volume(
            here.pool.name, "notes", there.hypervisor.peer, there.pool.name, progress=seen.append
        )
        assert copy.path == f"{there.pool.path}/notes"
        assert await there.hypervisor.read_volume(there.pool.name, "notes", 2 << 20) == content
        assert await there.hypervisor.unfinished(there.pool.name) == []
        assert await here.hypervisor.volume(here.pool.name, "notes") is not None
        again = await here.hypervisor.copy_volume(
            here.pool.name, "notes", there.hypervisor.peer, there.pool.name
        )
        assert again.path == copy.path
        with pytest.raises(NotFound):
            await here.hypervisor.copy_volume(
                here.pool.name, "nothing", there.hypervisor.peer, there.pool.name
            )

    async def test_an_overlay_is_copied_onto_the_base_there(self, pair: Pair) -> None:
        here, there = pair.here, pair.there
        uuid = await pair.runs()
        await here.hypervisor.destroy(uuid)
        await there.hypervisor.delete_volume(there.pool.name, "root")
        copy = await here.hypervisor.copy_volume(
            here.pool.name,
            "root",
            there.hypervisor.peer,
            there.pool.name,
            backing=f"{there.pool.path}/base",
        )
        assert copy.backing == f"{there.pool.path}/base"
        original = await here.hypervisor.volume(here.pool.name, "root")
        assert original is not None
        assert original.capacity == copy.capacity
        assert original.backing == f"{here.pool.path}/base"


@pytest.mark.parametrize("path", ["/a", "/" + "long/" * 150 + "base.qcow2"])
def test_an_overlay_is_given_another_base(tmp_path: Path, path: str) -> None:
    base, overlay = tmp_path / "base.qcow2", tmp_path / "overlay.qcow2"
    for arguments in ((base, "8M"), ("-b", base, "-F", "qcow2", overlay)):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *map(str, arguments)], check=True)
    before = overlay.read_bytes()
    after = rebased(before, path)
    assert len(after) == len(before)
    overlay.write_bytes(after)
    asked = ["qemu-img", "info", "-U", str(overlay)]
    said = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    assert f"backing file: {path}\n" in said, said
    assert "backing file format: qcow2" in said
    overlay.write_bytes(rebased(after, str(base)))
    subprocess.run(["qemu-img", "check", "-q", str(overlay)], check=True)


@pytest.mark.parametrize("head", [b"", b"raw bytes" * 100, b"QFI\xfb" + bytes(60)])
def test_what_is_no_overlay_gets_no_base(head: bytes) -> None:
    with pytest.raises(HypervisorFailed, match="no overlay"):
        rebased(head, "/base")


def test_a_path_that_does_not_fit_into_a_header_is_refused(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    base = tmp_path / "base.qcow2"
    for arguments in ((base, "8M"), ("-b", base, "-F", "qcow2", overlay)):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *map(str, arguments)], check=True)
    with pytest.raises(HypervisorFailed, match="too long"):
        rebased(overlay.read_bytes(), "/" + "x" * 1100)


def test_only_the_files_that_are_elsewhere_change() -> None:
    xml = (
        '<domain><disk><source file="/a"/><backingStore><source file="/b"/></backingStore></disk>'
        '<disk><source file="/c"/></disk></domain>'
    )
    assert relocated(xml, {"/a": "/x", "/b": "/y"}) == xml.replace("/a", "/x").replace('"/b"', '"/y"')
