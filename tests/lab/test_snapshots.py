"""Snapshots of real guests: what is in memory and on the disk comes back, and a home is left clean."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.lab.hosts import hosts
from tests.lab.site import ALICE, HUB, Site, agrees

from cernvmapi.errors import Conflict
from cernvmapi.models import Power, Status
from cernvmapi.snapshots import SnapshotRequest
from cernvmcontroller import naming

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.machines


def inside(path: Path) -> list[str]:
    """Return the names of the snapshots that an image holds."""
    asked = ["qemu-img", "info", "-U", "--output=json", str(path)]
    said = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    return [each["name"] for each in said.get("snapshots", [])]


async def test_a_real_machine_is_kept_and_brought_back(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    async with hosts(1) as made:
        site = Site(made, tmp_path / "state")
        await site.begin()
        try:
            machine = await site.running("alpha", home=True)
            service = site.engine.snapshots
            await site.done(await service.take(ALICE, machine.id, SnapshotRequest(name="on")))
            (kept,) = await service.all(machine.id)
            assert (kept.name, kept.memory, kept.current) == ("on", True, True)
            await site.answers(machine, "later")
            await site.done(await service.revert(ALICE, machine.id, "on"))
            await site.becomes(machine.id, Status.RUNNING, Power.ON)
            await site.answers(machine, "again")
            await site.end()
            await site.begin()
            assert [each.name for each in await service_of(site).all(machine.id)] == ["on"]

            await site.done(await site.engine.machines.poweroff(ALICE, machine.id))
            with pytest.raises(Conflict, match="start it first"):
                await service_of(site).revert(ALICE, machine.id, "on")
            await site.done(await service_of(site).take(ALICE, machine.id, SnapshotRequest(name="off")))
            await site.done(await service_of(site).revert(ALICE, machine.id, "off"))
            assert site.domains("alpha") == {machine.id: False}

            pool = made[0].place.folder / "lib" / HUB
            home = pool / naming.home_volume(machine.home or "")
            assert inside(home) == ["on", "off"]
            await site.done(await service_of(site).forget(ALICE, machine.id, "off"))
            assert inside(home) == ["on"]
            deleting = await site.engine.machines.delete(ALICE, machine.id)
            await site.engine.operations.wait(deleting.id, 45)
            assert inside(home) == [], "what is left of a machine's home is its files"
            await agrees(site.options)
        finally:
            await site.end()


def service_of(site: Site):
    return site.engine.snapshots
