"""What becomes of machines when hosts are cut off, freeze, lose their daemon or their power."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from tests.lab.hosts import Host, hosts
from tests.lab.site import ALICE, Site, agrees, until

from cernvmapi.errors import Busy, HostUnreachable
from cernvmapi.models import OperationStatus, Power, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Strike = Callable[[Host], Awaitable[None] | None]

pytestmark = [pytest.mark.machines, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with hosts(2) as made:
        site = Site(made, tmp_path_factory.mktemp("site"))
        await site.begin()
        yield site
        await site.end()


@pytest_asyncio.fixture(loop_scope="module")
async def alpha(site: Site) -> AsyncIterator[Host]:
    """The host that has the bad luck; well again afterwards, with nothing lost, leaked or doubled."""
    host = site.hosts["alpha"]
    await until(lambda: site.engine.inventory.alive("alpha"), 60)
    yield host
    await until(lambda: site.engine.inventory.alive("alpha"), 60)
    await agrees(site.options)
    for machine in (await site.engine.machines.page()).items:
        await site.remove(machine.id)
    assert [(site.domains(name), site.volumes(name)) for name in site.hosts] == [({}, set())] * 2


async def done(what: Awaitable[None] | None) -> None:
    """Wait for what takes a moment; the rest is done already."""
    if what is not None:
        await what


STRIKES: dict[str, tuple[Strike, Strike]] = {
    "cut off": (Host.cut, Host.mend),
    "frozen": (Host.freeze, Host.thaw),
    "without its daemon": (Host.kill_daemon, Host.restart_daemon),
    "with a daemon that was told to end": (Host.end_daemon, Host.restart_daemon),
}


@pytest.mark.parametrize("strike", STRIKES)
async def test_machines_of_a_host_that_is_away_are_unknown_and_nothing_else_is_slow(
    site: Site, alpha: Host, strike: str
) -> None:
    befall, end = STRIKES[strike]
    machine = await site.running("alpha")
    pid = alpha.machine_pids()[site.domain_name(machine)]
    await done(befall(alpha))
    began = time.monotonic()
    try:
        unknown = await site.becomes(machine.id, Status.RUNNING, Power.UNKNOWN, 15)
        assert time.monotonic() - began < 10, "keep-alive notices it"
        assert unknown.unknown_since is not None
        assert unknown.actions == []
        for verb in (site.engine.machines.shutdown, site.engine.machines.delete):
            with pytest.raises(HostUnreachable, match="Try again when the host is back"):
                await verb(ALICE, machine.id)
        began = time.monotonic()
        other = await site.machine("beta")
        await site.remove(other.id)
        assert (await site.engine.machines.page()).total == 1
        assert time.monotonic() - began < 3, "the other host is as quick as ever"
    finally:
        await done(end(alpha))
    found = await site.becomes(machine.id, Status.RUNNING, Power.ON, 60)
    assert found.unknown_since is None
    assert alpha.machine_pids() == {site.domain_name(machine): pid}, "it ran on"
    assert site.domains("alpha") == {machine.id: True}


async def test_a_controller_that_starts_while_a_host_is_away_is_there_at_once(
    site: Site, alpha: Host
) -> None:
    machine = await site.running("alpha")
    await site.end()
    alpha.cut()
    try:
        began = time.monotonic()
        await site.begin()
        assert time.monotonic() - began < 15, "one deadline for connecting, no more"
        unknown = await site.becomes(machine.id, Status.RUNNING, Power.UNKNOWN, 15)
        assert unknown.actions == []
        began = time.monotonic()
        await site.end()
        assert time.monotonic() - began < 5, "attempts that hang keep nobody from ending"
        await site.begin()
    finally:
        alpha.mend()
    await site.becomes(machine.id, Status.RUNNING, Power.ON, 60)
    assert site.domains("alpha") == {machine.id: True}


@pytest.mark.parametrize("stale", [False, True], ids=["run in memory", "run on disk"])
async def test_machines_of_a_host_that_lost_power_are_off_and_start_again_on_their_disks(
    site: Site, alpha: Host, stale: bool
) -> None:
    machine = await site.running("alpha", home=True)
    volumes = site.volumes("alpha")
    alpha.power_loss()
    await site.becomes(machine.id, Status.RUNNING, Power.UNKNOWN, 15)
    assert list((alpha.place.folder / "lib" / "qemu").rglob("*.sock")), "what the dead left"
    await alpha.start(stale=stale)
    failed = await site.becomes(machine.id, Status.FAILED, Power.OFF, 60)
    assert failed.error is not None
    assert ("crashed" if stale else "host may have been restarted") in failed.error.detail
    assert site.domains("alpha") == {machine.id: False}
    assert site.volumes("alpha") == volumes
    assert machine.home is not None
    assert (await site.engine.volumes.get(machine.home)).machine is None, "free for another machine"
    await site.done(await site.engine.machines.start(ALICE, machine.id, None))
    assert site.domains("alpha") == {machine.id: True}
    assert site.volumes("alpha") == volumes


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_daemon_that_is_killed_at_any_step_costs_time_and_nothing_else(
    site: Site, alpha: Host, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor = site.hypervisor("alpha")
    strikes: dict[str, asyncio.Task[None]] = {}
    one_by_one = asyncio.Lock()

    async def strike() -> None:
        async with one_by_one:
            alpha.kill_daemon()
            await until(lambda: not site.engine.inventory.alive("alpha"))
            await alpha.restart_daemon()

    def unlucky(verb: str) -> None:
        """Have the daemon killed once, just before or after this verb is done."""
        original = getattr(hypervisor, verb)

        async def call(*args: object, **named: object) -> object:
            result = await original(*args, **named) if when == "after" else None
            if verb not in strikes:
                # In a task: whoever called is ended when the host goes, and the daemon has to come back.
                strikes[verb] = asyncio.create_task(strike())
                await asyncio.shield(strikes[verb])
                if when == "after":
                    raise HostUnreachable("The daemon was killed before its answer came.")
            return result if when == "after" else await original(*args, **named)

        monkeypatch.setattr(hypervisor, verb, call)

    starts = ["create_volume", "define", "start", "open_channel"]
    ends = ["shutdown", "destroy", "undefine", "delete_volume"]
    for verb in starts:
        unlucky(verb)
    machine = await site.running("alpha", home=True)
    assert site.domains("alpha") == {machine.id: True}
    assert sorted(strikes) == sorted(starts)
    for verb in ends:
        unlucky(verb)
    await site.done(await site.engine.machines.shutdown(ALICE, machine.id))
    await site.becomes(machine.id, Status.STOPPED, Power.OFF)
    assert site.domains("alpha") == {machine.id: False}
    await site.remove(machine.id)
    assert sorted(strikes) == sorted([*starts, *ends])
    assert (site.domains("alpha"), site.volumes("alpha")) == ({}, set())


async def test_a_qemu_that_is_killed_is_a_crash_that_is_told_at_once(site: Site, alpha: Host) -> None:
    machine = await site.running("alpha")
    alpha.kill_machine(site.domain_name(machine))
    failed = await site.becomes(machine.id, Status.FAILED, Power.OFF, 5)
    assert failed.error is not None
    assert "crashed" in failed.error.detail
    assert "CERNVMHUB-TINY" in (failed.console_tail or "")
    assert site.domains("alpha") == {machine.id: False}


async def test_a_qemu_that_is_killed_while_its_machine_starts_fails_the_start(
    site: Site, alpha: Host
) -> None:
    machine = await site.machine("alpha")
    operation = await site.engine.machines.start(ALICE, machine.id, None)
    await until(lambda: site.domain_name(machine) in alpha.machine_pids())
    alpha.kill_machine(site.domain_name(machine))
    await site.done(operation, OperationStatus.FAILED)
    await site.becomes(machine.id, Status.FAILED, Power.OFF)
    assert (site.domains("alpha"), site.volumes("alpha")) == ({}, set()), "what it made is undone"


async def test_a_qemu_that_is_killed_while_its_machine_shuts_down_is_off_as_was_wished(
    site: Site, alpha: Host
) -> None:
    machine = await site.running("alpha")
    operation = await site.engine.machines.shutdown(ALICE, machine.id)
    await going_down(site, machine.id)
    alpha.kill_machine(site.domain_name(machine))
    await site.done(operation)
    off = await site.becomes(machine.id, Status.STOPPED, Power.OFF)
    assert off.error is None
    assert site.domains("alpha") == {machine.id: False}


async def test_a_qemu_that_is_killed_while_its_machine_reboots_is_started_again(
    site: Site, alpha: Host
) -> None:
    machine = await site.running("alpha")
    pid = alpha.machine_pids()[site.domain_name(machine)]
    operation = await site.engine.machines.reboot(ALICE, machine.id)
    await going_down(site, machine.id)
    alpha.kill_machine(site.domain_name(machine))
    await site.done(operation)
    await site.becomes(machine.id, Status.RUNNING, Power.ON)
    assert alpha.machine_pids()[site.domain_name(machine)] != pid


async def going_down(site: Site, machine: str) -> None:
    async def stopping() -> bool:
        return (await site.get(machine)).status is Status.STOPPING

    await until(stopping)


async def test_what_is_done_behind_the_hubs_back_is_seen_at_once(site: Site, alpha: Host) -> None:
    machine = await site.running("alpha")
    domain, volumes = site.domain("alpha", machine), site.volumes("alpha")
    domain.suspend()
    await site.becomes(machine.id, Status.RUNNING, Power.PAUSED, 5)
    domain.resume()
    await site.becomes(machine.id, Status.RUNNING, Power.ON, 5)
    domain.undefine()
    await site.engine.reconciler.quiet()
    assert (await site.get(machine.id)).power is Power.ON, "a machine without a definition runs on"
    domain.destroy()
    gone = await site.becomes(machine.id, Status.FAILED, Power.OFF, 5)
    assert gone.error is not None
    assert "not on its host any more" in gone.error.detail
    assert site.domains("alpha") == {}
    assert site.volumes("alpha") == volumes
    await site.done(await site.engine.machines.start(ALICE, machine.id, None))
    site.domain("alpha", machine).destroy()
    off = await site.becomes(machine.id, Status.FAILED, Power.OFF, 5)
    assert off.error is not None
    assert "powered the machine off on its host" in off.error.detail


async def test_a_host_that_freezes_often_and_long_is_back_within_seconds(site: Site, alpha: Host) -> None:
    alpha.freeze()
    await until(lambda: not site.engine.inventory.alive("alpha"))
    connection = site.hypervisor("alpha")._connection  # type: ignore[attr-defined]
    await until(lambda: connection._back_off._attempts > 2, 60)
    alpha.thaw()
    began = time.monotonic()
    await until(lambda: site.engine.inventory.alive("alpha"), 60)
    assert time.monotonic() - began < 5, "the attempt that hung tells that the host answers"


async def test_a_lost_database_is_rebuilt_from_hosts_that_answer_one_after_the_other(
    site: Site, alpha: Host
) -> None:
    machine, other = await site.running("alpha", home=True), await site.machine("beta")
    await site.done(await site.engine.machines.start(ALICE, other.id, None))
    await site.end()
    for path in site.program.state.glob("controller.sqlite*"):
        path.unlink()
    alpha.cut()
    try:
        await site.begin()
        with pytest.raises(Busy, match="machines of alpha are not known"):
            await site.engine.machines_known()
    finally:
        alpha.mend()
    await until(lambda: not site.engine.census.missing, 60)
    found = await site.becomes(machine.id, Status.RUNNING, Power.ON)
    assert (found.owner, found.address, found.home) == ("alice", machine.address, machine.home)
    await site.becomes(other.id, Status.RUNNING, Power.ON)
    assert (await site.engine.machines.page()).total == 2
