"""Snapshots of real guests: what is in memory and on the disk comes back, and a home is left clean."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.lab.site import ALICE, HUB, Site, agrees, open_site

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
    async with open_site(1, tmp_path / "state") as site:
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

        pool = site.hosts["alpha"].place.folder / "lib" / HUB
        home = pool / naming.home_volume(machine.home or "")
        assert inside(home) == ["on", "off"]
        await site.done(await service_of(site).forget(ALICE, machine.id, "off"))
        assert inside(home) == ["on"]
        deleting = await site.engine.machines.delete(ALICE, machine.id)
        await site.engine.operations.wait(deleting.id, 45)
        assert inside(home) == [], "what is left of a machine's home is its files"
        await agrees(site.options)


def service_of(site: Site):
    return site.engine.snapshots
