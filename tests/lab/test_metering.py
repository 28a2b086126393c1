"""What a real guest uses arrives in the history, over runs of the guest and of the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.hypervisor.bench import bench, read_until, tiny_image
from tests.unit.metering.site import Link, Metered
from tests.unit.store.samples import HUB

from cernvmcontroller import naming
from cernvmcontroller.hypervisor.fakehost import FakeDomain
from cernvmcontroller.hypervisor.specs import VolumeRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cernvmcontroller.hypervisor.interface import Hypervisor

pytestmark = pytest.mark.machines


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Metered]:
    site = Metered(f"sqlite+aiosqlite:///{tmp_path}/controller.sqlite")
    await site.begin()
    yield site
    await site.end()


async def boots(hypervisor: Hypervisor, uuid: str) -> None:
    """Start a guest and wait until its kernel and its programs run."""
    await hypervisor.start(uuid)
    console = await hypervisor.open_console(uuid)
    assert b"READY" in await read_until(console, b"READY")
    await console.close()


async def test_a_guest_is_counted_over_its_own_runs_and_those_of_the_controller(
    site: Metered, tmp_path: Path
) -> None:
    async with bench("qemu", tmp_path) as made:
        hypervisor = made.hypervisor
        site.hosts.links = {"one": Link("one", hypervisor)}  # type: ignore[arg-type]
        await made.surroundings()
        image = await hypervisor.upload_volume(
            made.pool.name, "base-tiny.qcow2", tiny_image(), format="qcow2"
        )
        disk = await hypervisor.create_volume(
            made.pool.name, "disk-m.qcow2", capacity=64 << 20, backing=image
        )
        machine = f"m-{made.prefix}"
        uuid = naming.domain_uuid(HUB, machine)
        made.made.append(uuid)
        await made.defined(uuid=uuid, root=VolumeRef(disk.path, "qcow2", ((image.path, "qcow2"),)))
        await site.machine(machine, adopted=FakeDomain(uuid, machine, ""))
        await site.tick()
        await boots(hypervisor, uuid)
        await site.tick()
        first = (await site.history.machine(machine, None, site.range(0, 10))).totals
        assert first.cpu_seconds > 0.5
        assert first.disk_read_bytes > 0
        assert first.memory_mib_seconds > 16 * 30
        await hypervisor.destroy(uuid)
        await boots(hypervisor, uuid)
        await site.restart()
        await site.tick()
        second = (await site.history.machine(machine, None, site.range(0, 10))).totals
        # The second boot costs about what the first one did; its counters began at zero.
        assert 1.2 * first.cpu_seconds < second.cpu_seconds < 4 * first.cpu_seconds
        assert second.machine_seconds == 2 * first.machine_seconds
