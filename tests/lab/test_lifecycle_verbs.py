"""Suspended, reset, stored and locked machines on real guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from tests.lab.hosts import hosts
from tests.lab.site import ALICE, Site, agrees, until

from cernvmapi.errors import Conflict
from cernvmapi.lifecycle import BulkRequest, StoreRequest
from cernvmapi.models import MachineChange, Power, Status
from cernvmcontroller.store import Actor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cernvmapi.models import Machine

pytestmark = [pytest.mark.machines, pytest.mark.asyncio(loop_scope="module")]

ROOT = Actor("root")
UP = "CERNVMHUB-TINY-READY"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with hosts(1) as made:
        site = Site(made, tmp_path_factory.mktemp("site"))
        await site.begin()
        yield site
        await site.end()


@pytest_asyncio.fixture(loop_scope="module")
async def machine(site: Site) -> AsyncIterator[Machine]:
    """A running machine; nothing of it is left afterwards."""
    made = await site.running("alpha", home=True)
    yield made
    await agrees(site.options)
    await site.remove(made.id)
    assert (site.domains("alpha"), site.volumes("alpha")) == ({}, set())


async def boots(site: Site, machine: Machine) -> int:
    """Return how often the guest came up, as far as its console tells."""
    return (await site.engine.machines.console(machine.id)).text.count(UP)


async def test_a_suspended_machine_stands_still_and_goes_on(site: Site, machine: Machine) -> None:
    before = await boots(site, machine)
    await site.done(await site.engine.lifecycle.suspend(ALICE, machine.id))
    assert site.domain("alpha", machine).state()[0] == 3, "VIR_DOMAIN_PAUSED"
    found = await site.get(machine.id)
    assert (found.power, found.error) == (Power.PAUSED, None)
    await site.end()
    await site.begin()
    assert (await site.becomes(machine.id, Status.RUNNING, Power.PAUSED)).error is None
    await site.done(await site.engine.lifecycle.resume(ALICE, machine.id))
    await site.becomes(machine.id, Status.RUNNING, Power.ON)
    assert await boots(site, machine) <= before, "it did not boot"


async def test_a_machine_that_is_reset_boots_anew_in_the_same_qemu(site: Site, machine: Machine) -> None:
    pid = site.hosts["alpha"].machine_pids()
    before = await boots(site, machine)
    await site.done(await site.engine.lifecycle.reset(ALICE, machine.id))

    async def up() -> bool:
        return await boots(site, machine) > before

    await until(up, 60)
    assert site.hosts["alpha"].machine_pids() == pid


async def test_a_stored_machine_goes_on_where_it_was(site: Site, machine: Machine) -> None:
    await site.done(await site.engine.lifecycle.store(ALICE, machine.id, StoreRequest(reason="a move")))
    found = await site.get(machine.id)
    assert (found.status, found.power, found.stored) == (Status.STOPPED, Power.OFF, True)
    assert site.domain("alpha", machine).hasManagedSaveImage() == 1
    await agrees(site.options)
    with pytest.raises(Conflict, match="a move"):
        await site.engine.machines.start(ALICE, machine.id, None)
    await site.engine.lifecycle.unlock(ALICE, machine.id, any_author=False)
    await site.done(await site.engine.machines.start(ALICE, machine.id, None))
    assert await boots(site, machine) == 0, "it went on, and did not boot"
    assert site.domain("alpha", machine).hasManagedSaveImage() == 0
    assert not (await site.get(machine.id)).stored


async def test_a_stored_machine_boots_anew_where_that_is_wished(site: Site, machine: Machine) -> None:
    await site.done(await site.engine.lifecycle.store(ALICE, machine.id, StoreRequest(lock=False)))
    await site.done(await site.engine.machines.start(ALICE, machine.id, None, discard=True))
    assert await boots(site, machine) == 1


async def test_a_stored_machine_that_is_deleted_leaves_no_memory(site: Site) -> None:
    made = await site.running("alpha")
    await site.done(await site.engine.lifecycle.store(ALICE, made.id, StoreRequest(lock=False)))
    saved = site.hosts["alpha"].place.folder / "lib" / "qemu" / "save"
    assert list(saved.glob("*.save"))
    await site.remove(made.id)
    assert not list(saved.glob("*.save"))


async def test_many_at_once_have_a_result_each(site: Site, machine: Machine) -> None:
    request = BulkRequest(action="suspend", ids=[machine.id, "m-none"])
    done, gone = await site.engine.lifecycle.many(ALICE, request, owner=None)
    assert (gone.possible, gone.name) == (False, None)
    assert done.operation is not None
    await site.done(done.operation)
    await site.done(await site.engine.lifecycle.resume(ALICE, machine.id))


async def test_a_machine_has_another_size_after_its_reboot(site: Site, machine: Machine) -> None:
    change = MachineChange(vcpus=2, memory_mib=192)
    assert (await site.engine.machines.change(ROOT, machine.id, change)).pending is not None
    await site.done(await site.engine.machines.reboot(ALICE, machine.id))
    info = site.domain("alpha", machine).info()
    assert (info[1], info[3]) == (192 * 1024, 2), "maximum memory in KiB, vCPUs"
    found = await site.get(machine.id)
    assert (found.vcpus, found.memory_mib, found.pending) == (2, 192, None)
