"""What libvirt's bulk statistics say, read as counters."""

from __future__ import annotations

from cernvmcontroller.hypervisor.bulkstats import parse

RECORD = {
    "state.state": 1,
    "cpu.time": 65_730_000_000,
    "balloon.current": 1048576,
    "balloon.rss": 524288,
    "block.count": 2,
    "block.0.rd.bytes": 100,
    "block.0.wr.bytes": 10,
    "block.1.rd.bytes": 5,
    "block.1.wr.bytes": 2,
    "net.count": 1,
    "net.0.rx.bytes": 7,
    "net.0.tx.bytes": 8,
}


def test_devices_are_summed_up_and_units_are_ours() -> None:
    said = parse("u", 4, RECORD)
    assert (said.uuid, said.run, said.memory_mib) == ("u", 4, 512)
    assert said.counters == (65_730, 105, 12, 7, 8)


def test_a_domain_that_is_busy_says_part_of_it() -> None:
    some = {name: value for name, value in RECORD.items() if not name.startswith(("block.", "balloon.rss"))}
    said = parse("u", 4, some)
    assert (said.cpu_ms, said.disk_read, said.network_sent, said.memory_mib) == (65_730, None, 8, 1024)


def test_a_device_that_says_nothing_makes_the_sum_unknown() -> None:
    some = {name: value for name, value in RECORD.items() if name != "block.1.rd.bytes"}
    said = parse("u", 4, some)
    assert (said.disk_read, said.disk_written) == (None, 12)


def test_a_domain_without_devices_uses_none() -> None:
    assert parse("u", 4, {"cpu.time": 0, "block.count": 0, "net.count": 0}).counters == (0, 0, 0, 0, 0)
