"""What machines use is sampled, kept, made coarser and told, on both databases."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from tests.unit.metering.site import Metered, use
from tests.unit.store.samples import HUB

from cernvmcontroller import naming
from cernvmcontroller.metering.tiers import LATEST
from cernvmcontroller.store import Actor


class Killed(Exception):
    """A commit that the controller did not live to see."""


async def test_what_machines_use_is_told_for_machine_host_appliance_and_user(site: Metered) -> None:
    one = await site.machine("m-one", owner="alice")
    two = await site.machine("m-two", owner="bob", host="two")
    await site.tick()
    use(one, cpu_ms=15_000, disk_read=300, disk_written=600, network_received=900, network_sent=1200)
    use(two, cpu_ms=30_000)
    await site.tick()
    wanted = site.range(1, 2, resolution=30)
    found = await site.history.machine("m-one", None, wanted)
    assert (found.cpus, found.memory_mib, found.machines) == ([0.5], [128], [1])
    assert (found.disk_read, found.disk_written) == ([10], [20])
    assert (found.network_received, found.network_sent) == ([30], [40])
    assert found.totals.cpu_seconds == 15
    assert (await site.history.host("two", wanted)).cpus == [1]
    assert (await site.history.owner("alice", wanted)).cpus == [0.5]
    both = await site.history.appliance("default", wanted)
    assert (both.cpus, both.memory_mib, both.machines) == ([1.5], [256], [2])
    assert (await site.history.owner(None, wanted)).cpus == [1.5]


async def test_many_machines_are_told_in_one_answer_and_only_ones_own(site: Metered) -> None:
    one = await site.machine("m-one", owner="alice")
    await site.machine("m-two", owner="bob")
    await site.tick()
    use(one, cpu_ms=30_000)
    await site.tick()
    wanted = site.range(1, 2, resolution=30)
    ids = ["m-two", "m-none", "m-one"]
    found = await site.history.machines(ids, None, wanted)
    assert [(each.subject, each.cpus) for each in found] == [
        ("machine/m-two", [0]),
        ("machine/m-none", [None]),
        ("machine/m-one", [1]),
    ]
    found = await site.history.machines(ids, "alice", wanted)
    assert [each.cpus for each in found] == [[None], [None], [1]]


async def test_a_cluster_is_the_sum_of_its_machines(site: Metered) -> None:
    one = await site.machine("m-one", cluster="physics")
    await site.machine("m-two")
    await site.tick()
    use(one, cpu_ms=30_000)
    await site.tick()
    found = await site.history.cluster("physics", site.range(1, 2, resolution=30))
    assert (found.cpus, found.machines) == ([1], [1])


async def test_a_host_is_asked_once_however_many_machines_it_has(site: Metered) -> None:
    for number in range(20):
        await site.machine(f"m-{number}")
    asked = site.hosts.links["one"].hypervisor.calls
    asked.clear()
    await site.tick()
    assert asked == ["statistics"]


async def test_a_machine_that_started_between_two_ticks_counts_from_zero(site: Metered) -> None:
    await site.machine("m-other")
    await site.tick()
    use(await site.machine("m-one"), cpu_ms=3000)
    await site.tick()
    assert (await site.history.machine("m-one", None, site.range(1, 2))).totals.cpu_seconds == 3


async def test_a_machine_that_stopped_and_started_again_is_not_counted_twice(site: Metered) -> None:
    domain = await site.machine("m-one")
    use(domain, cpu_ms=100_000, disk_read=5000)
    await site.tick()
    use(domain, cpu_ms=1000, disk_read=70)
    await site.tick()
    site.boot(domain.uuid, "one")
    use(domain, cpu_ms=200, disk_read=6)
    await site.tick()
    totals = (await site.history.machine("m-one", None, site.range(0, 3))).totals
    assert (totals.cpu_seconds, totals.disk_read_bytes) == (1.2, 76)


async def test_a_machine_that_is_off_uses_nothing(site: Metered) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    await site.tick()
    site.stop(domain)
    await site.tick()
    found = await site.history.machine("m-one", None, site.range(1, 3, resolution=30))
    assert (found.machines, found.cpus) == ([1, None], [0, None])
    assert found.totals.machine_seconds == 30


async def test_a_machine_that_is_handed_over_is_charged_to_each_for_their_own_time(site: Metered) -> None:
    domain = await site.machine("m-one", owner="alice")
    await site.tick()
    use(domain, cpu_ms=1000)
    await site.tick()
    await site.change("m-one", owner="bob")
    use(domain, cpu_ms=200)
    await site.tick()
    whole = site.range(0, 10)
    assert (await site.history.owner("alice", whole)).totals.cpu_seconds == 1
    assert (await site.history.owner("bob", whole)).totals.cpu_seconds == 0.2
    assert (await site.history.machine("m-one", "bob", whole)).totals.cpu_seconds == 0.2
    assert (await site.history.machine("m-one", None, whole)).totals.cpu_seconds == 1.2


async def test_a_machine_that_is_moved_is_counted_where_it_is(site: Metered) -> None:
    await site.machine("m-other", host="two")
    domain = await site.machine("m-one")
    use(domain, cpu_ms=9000)
    await site.tick()
    arriving = site.boot(domain.uuid, "two")  # while it moves both hosts have it
    use(domain, cpu_ms=1000)
    use(arriving, cpu_ms=5)
    await site.tick()
    await site.change("m-one", host="two")
    site.stop(domain)
    use(arriving, cpu_ms=200)
    await site.tick()
    whole = site.range(0, 10)
    assert (await site.history.host("one", whole)).totals.cpu_seconds == 1
    assert (await site.history.host("two", whole)).totals.cpu_seconds == 0.2
    assert (await site.history.machine("m-one", None, whole)).totals.cpu_seconds == 1.2


async def test_a_foreign_domain_is_not_counted_and_once_adopted_only_from_then_on(site: Metered) -> None:
    await site.machine("m-other")
    foreign = site.boot(naming.domain_uuid(HUB, "m-foreign"), "one")
    use(foreign, cpu_ms=10**9)
    await site.tick()
    await site.tick()
    assert (await site.history.host("one", site.range(0, 10))).totals.cpu_seconds == 0
    await site.machine("m-foreign", adopted=foreign)
    use(foreign, cpu_ms=1000)
    await site.tick()
    assert (await site.history.host("one", site.range(0, 10))).totals.cpu_seconds == 1


async def test_a_new_controller_counts_on_from_the_last_tick_that_was_written(site: Metered) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    use(domain, cpu_ms=1000)
    await site.tick()
    use(domain, cpu_ms=300)
    await site.restart()
    use(domain, cpu_ms=100)
    await site.tick(2)
    found = await site.history.machine("m-one", None, site.range(1, 4, resolution=30))
    assert found.totals.cpu_seconds == 1.4
    assert found.cpus[1] == found.cpus[2], "spread evenly over what nobody looked at"


@pytest.mark.parametrize("when", ["before commit", "after commit"])
async def test_a_controller_killed_in_a_tick_counts_nothing_twice_and_loses_nothing(
    site: Metered, when: str
) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    use(domain, cpu_ms=1000)
    commit = site.store._commit

    async def killed(tx: object) -> None:
        if when == "after commit":
            await commit(tx)  # type: ignore[arg-type]
        raise Killed

    site.store._commit = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await site.tick()
    await site.restart()
    use(domain, cpu_ms=10)
    await site.tick()
    await site.tick()
    whole = await site.history.machine("m-one", None, site.range(0, 10))
    assert (whole.totals.cpu_seconds, whole.totals.machine_seconds) == (1.01, 90)


async def test_a_tick_that_failed_is_made_up_for_by_the_next_one_of_the_same_controller(
    site: Metered,
) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    use(domain, cpu_ms=1000)
    commit = site.store._commit

    async def lost(tx: object) -> None:
        site.store._commit = commit  # type: ignore[method-assign]
        await commit(tx)  # type: ignore[arg-type]
        raise Killed

    site.store._commit = lost  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await site.tick()
    use(domain, cpu_ms=10)
    await site.tick()
    assert (await site.history.machine("m-one", None, site.range(0, 10))).totals.cpu_seconds == 1.01


async def test_a_host_that_does_not_answer_keeps_no_other_from_being_counted(site: Metered) -> None:
    there, away = await site.machine("m-one"), await site.machine("m-two", host="two")
    await site.tick()
    use(there, cpu_ms=1000)
    use(away, cpu_ms=2000)
    site.hosts.links["two"].hypervisor.hang("statistics")
    await site.tick()
    wanted = site.range(0, 4, resolution=30)
    assert (await site.history.owner(None, wanted)).cpus == pytest.approx(
        [None, 1 / 30, None, None], abs=1e-4
    )
    site.hosts.links["two"].hypervisor.release("statistics")
    await site.tick()
    found = await site.history.machine("m-two", None, wanted)
    assert found.totals.cpu_seconds == 2
    assert found.machines == [None, 1, 1, None]


async def test_what_was_used_while_a_host_was_away_for_long_is_a_gap(site: Metered) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    use(domain, cpu_ms=10**6)
    await site.tick(LATEST + 1)
    use(domain, cpu_ms=1000)
    await site.tick()
    found = await site.history.machine("m-one", None, site.range(0, 20, resolution=30))
    assert found.totals.cpu_seconds == 1
    assert [value for value in found.cpus if value is not None] == pytest.approx([1 / 30], abs=1e-4)


@pytest.mark.parametrize("back", [0, 1, 40])
async def test_a_time_that_comes_twice_is_counted_once(site: Metered, back: int) -> None:
    domain = await site.machine("m-one")
    for _ in range(41):
        use(domain, cpu_ms=1000)
        await site.tick()
    site.slot -= back + 1
    for _ in range(back + 2):
        use(domain, cpu_ms=1000)
        await site.tick()
    found = await site.history.machine("m-one", None, site.range(0, 60, resolution=30))
    seconds = [value * 30 for value in found.cpus if value]
    assert len(seconds) == 41
    assert seconds == pytest.approx([1] * 41, abs=0.01)


async def test_a_clock_that_was_hours_ahead_leaves_nothing_behind(site: Metered) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    await site.tick(2000)
    for _ in range(20):
        use(domain, cpu_ms=1000)
        await site.tick(LATEST)
    site.slot -= 2200
    for _ in range(50):
        use(domain, cpu_ms=100)
        await site.tick()
    for resolution in (30, 300):
        found = await site.history.machine("m-one", None, site.range(0, 3000, resolution=resolution))
        assert found.totals.cpu_seconds == pytest.approx(4.9)


async def test_history_becomes_coarser_and_no_amount_changes(site: Metered) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    for _ in range(26):
        use(domain, cpu_ms=60_000, disk_read=7)
        await site.tick(LATEST)
    for resolution in (30, 60, 300, 1800, 3600, 86400):
        found = await site.history.machine("m-one", None, site.range(0, 300, resolution=resolution))
        assert found.totals.cpu_seconds == 26 * 60, resolution
        assert found.totals.machine_seconds == 26 * 300
        assert max(value for value in found.cpus if value is not None) == pytest.approx(0.2, abs=1e-3)
    assert await rows(site, "usage_five_minutes") > 3 * 20
    assert await rows(site, "usage_hours") == 3 * 2


async def test_what_is_old_is_forgotten_at_its_resolution_and_kept_at_coarser_ones(site: Metered) -> None:
    domain = await site.machine("m-one")
    await site.tick()
    use(domain, cpu_ms=1000)
    for _ in range(2 * 60 * 24 // LATEST + 30):
        await site.tick(LATEST)
    found = await site.history.machine("m-one", None, site.range(0, 20, resolution=30))
    assert set(found.cpus) == {None}
    found = await site.history.machine("m-one", None, site.range(0, 20, resolution=300))
    assert found.totals.cpu_seconds == 1
    assert (
        await site.history.machine("m-one", None, site.range(0, 1, resolution=86400))
    ).totals.cpu_seconds == 1
    assert await rows(site, "usage_days") == 3
    assert await rows(site, "usage_ticks") < 3 * 900


async def rows(site: Metered, table: str) -> int:
    async with site.store.read() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_other_writes_go_first(site: Metered) -> None:
    await site.machine("m-one")
    await site.tick()
    order: list[str] = []

    async def other(number: int) -> None:
        async with site.store.write(Actor.system(), "other", "x", audit=False):
            order.append(f"other {number}")
            await asyncio.sleep(0.02)

    others = [asyncio.create_task(other(number)) for number in range(5)]
    await asyncio.sleep(0)
    await site.tick()
    order.append("tick")
    await asyncio.gather(*others)
    assert order.index("tick") >= 4
