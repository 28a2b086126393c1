"""What machines use is sampled, kept, made coarser and told, on both databases."""

from __future__ import annotations

import pytest
from tests.unit.metering.site import Metered, use


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
