"""What the controller tells of its work, to whoever counts it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripted import ALICE, SESSION, Lab, eventually

from cernvmapi.errors import HostUnreachable, HypervisorFailed, StartFailed, StoreUnavailable
from cernvmapi.models import OperationStatus, Phase, PhaseMark, Status
from cernvmcontroller.hypervisor.fakehost import FakeVolume
from cernvmcontroller.machines.reconciler import Reconciler
from cernvmcontroller.telemetry.chronicle import phases
from cernvmcontroller.web.metrics import Metrics

if TYPE_CHECKING:
    from cernvmcontroller.machines.job import Job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def counted(tmp_path):
    """A controller on a fake host whose metrics are read."""
    lab = Lab(tmp_path)
    lab.metrics = Metrics()
    await lab.begin()
    yield lab
    await lab.end()


async def samples(lab):
    text = lab.metrics.text(await lab.engine.figures()).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


async def test_a_start_is_counted_by_phase_and_outcome(counted):
    machine = await counted.started()
    await eventually(lambda: counted.metrics._starts.labels("ready", "server", "")._value.get() == 1)
    found = await samples(counted)
    for phase in ("placed", "disk", "boot", "context", "server"):
        assert found["cernvm_start_phase_seconds_count", *sorted([phase, "ready"])] == 1
    assert found["cernvm_operation_seconds_count", "machine.start", "succeeded"] == 1
    assert found["cernvm_machines", "running"] == 1
    assert found["cernvm_host_machines", "host1"] == 1
    assert found["cernvm_hypervisor_call_seconds_count", "define", "host1"] == 1
    assert found["cernvm_hypervisor_calls_in_flight", "host1"] == 0
    assert found["cernvm_database_write_seconds_count",] > 5
    assert found["cernvm_events_written_total",] > 5
    assert machine.id not in str(found)
    assert "alice" not in str(found)


async def test_a_start_that_fails_says_where_and_why(counted):
    counted.template = {"fails": "no module named x"}
    machine = await counted.create()
    operation = await counted.engine.machines.start(ALICE, machine.id, SESSION)
    await counted.engine.operations.wait(operation.id, 10)
    await eventually(lambda: not counted.engine._chronicle._attempts)
    found = await samples(counted)
    (counted_as,) = [key for key in found if key[0] == "cernvm_starts_total"]
    assert {"failed", StartFailed.code} < set(counted_as)


async def test_a_cancelled_start_is_no_failure(counted):
    counted.template = {"slow": True}
    machine = await counted.create()
    operation = await counted.engine.machines.start(ALICE, machine.id, SESSION)
    await counted.until_true(machine.id, lambda found: found.phase is Phase.SERVER)
    await counted.engine.operations.cancel(ALICE, operation.id)
    assert (await counted.engine.operations.get(operation.id)).status is OperationStatus.CANCELLED
    await counted.until(machine.id, Status.STOPPED)
    await eventually(lambda: not counted.engine._chronicle._attempts)
    found = await samples(counted)
    assert found["cernvm_start_phase_seconds_count", "cancelled", "server"] == 1


async def test_a_call_that_fails_is_counted_by_its_code(counted):
    counted.hypervisor.fail_next("pool")
    with pytest.raises(HypervisorFailed):
        await counted.engine.inventory.links["host1"].hypervisor.pool("x")
    found = await samples(counted)
    assert (
        found["cernvm_hypervisor_call_errors_total", *sorted([HypervisorFailed.code, "host1", "pool"])] == 1
    )


async def test_a_host_that_is_left_alone_and_its_stuck_calls_are_shown_by_name(counted):
    found = await samples(counted)
    for name in ("breaker_open", "calls_stuck", "calls_in_flight"):
        assert found[f"cernvm_hypervisor_{name}", "host1"] == 0, name
    counted.hypervisor.breaker_open = True
    counted.hypervisor.stuck = 3
    counted.hypervisor.hang("pool")
    call = asyncio.create_task(counted.engine.inventory.links["host1"].hypervisor.pool("x"))
    await eventually(lambda: counted.hypervisor.calls[-1] == "pool")
    found = await samples(counted)
    assert found["cernvm_hypervisor_breaker_open", "host1"] == 1
    assert found["cernvm_hypervisor_calls_stuck", "host1"] == 3
    assert found["cernvm_hypervisor_calls_in_flight", "host1"] == 1
    with pytest.raises(HostUnreachable):
        await call


async def test_a_pool_is_shown_with_its_size_and_what_is_free_and_whether_it_can_be_used(counted):
    await counted.started()
    pool, link = counted.host.pools["labhub-host1"], counted.engine.inventory.links["host1"]
    pool.volumes["filler"] = FakeVolume("filler", "/pool/filler", 0, allocation=7 * 1024**3)
    await counted.engine.inventory.measure(link)
    found = await samples(counted)
    assert found["cernvm_pool_up", "labhub-host1"] == 1
    assert found["cernvm_pool_capacity_bytes", "labhub-host1"] == pool.capacity == 100 * 1024**3
    free = found["cernvm_pool_available_bytes", "labhub-host1"]
    assert free == pool.available // 1024**2 * 1024**2 <= 93 * 1024**3
    counted.hypervisor.disconnect()

    async def noticed():
        return (await samples(counted))["cernvm_pool_up", "labhub-host1"] == 0

    await eventually(noticed)
    found = await samples(counted)
    assert found["cernvm_pool_available_bytes", "labhub-host1"] == free, "the last that is known"


async def test_the_queue_is_shown_while_a_machine_starts_and_empty_afterwards(counted):
    counted.template = {"slow": True}
    machine = await counted.create()
    operation = await counted.engine.machines.start(ALICE, machine.id, SESSION)
    await counted.until_true(machine.id, lambda found: found.phase is Phase.SERVER)
    found = await samples(counted)
    assert found["cernvm_reconciler_queue_length",] == 1
    assert 0 < found["cernvm_reconciler_oldest_seconds",] < 60
    assert found["cernvm_reconciler_retrying",] == 0
    assert found["cernvm_operations_running", "machine.start"] == 1
    await counted.guest(machine.uuid).ready()
    await counted.engine.operations.wait(operation.id, 10)
    await counted.engine.reconciler.quiet()
    found = await samples(counted)
    assert found["cernvm_reconciler_queue_length",] == found["cernvm_reconciler_oldest_seconds",] == 0
    assert ("cernvm_operations_running", "machine.start") not in found


async def test_the_figures_come_without_the_database_too(counted):
    await counted.store._database.close()
    counted.store._database._reading = None
    assert (await samples(counted))["cernvm_database_up",] == 0


async def test_the_queue_says_how_long_it_is_and_what_is_tried_again():
    async def work(_machine: str, _job: Job) -> bool:
        return False

    queue = Reconciler(work, retry=60)
    queue.poke("m-1")
    assert queue.queue.length == 1
    await queue.quiet()
    assert (queue.queue.length, queue.queue.retrying, queue.queue.oldest) == (0, 1, 0)
    await queue.close()


def test_a_phase_lasts_until_the_next_one():
    def mark(phase, seconds):
        return PhaseMark(phase=phase, message="", progress=0, at=NOW + timedelta(seconds=seconds))

    timeline = [mark(Phase.PLACED, 0), mark(Phase.DISK, 1), mark(Phase.BOOT, 3)]
    assert phases(timeline, NOW + timedelta(seconds=10)) == [("placed", 1), ("disk", 2), ("boot", 7)]
    assert phases([], NOW) == []


@pytest.mark.parametrize("per_machine", [False, True])
async def test_what_machines_use_is_counted_by_host_and_by_machine_on_request(tmp_path, per_machine):
    lab = Lab(tmp_path)
    lab.metrics = Metrics()
    lab.settings = replace(lab.settings, metrics_per_machine=per_machine)
    await lab.begin()
    machine = await lab.started()
    domain = lab.host.domains[machine.uuid]
    domain.used = {"cpu_ms": 1000}
    await lab.engine.meter.tick(1000)
    for slot in (1001, 1002):
        domain.used = {"cpu_ms": domain.used["cpu_ms"] + 2000, "network_sent": 77, "memory_mib": 256}
        await lab.engine.meter.tick(slot)
    found = await samples(lab)
    assert found["cernvm_host_use_cpu_seconds_total", "host1"] == 4
    assert found["cernvm_host_use_network_sent_bytes_total", "host1"] == 77
    assert found["cernvm_host_use_memory_bytes", "host1"] == 256 * 1024 * 1024
    of_machine = ("cernvm_machine_use_cpu_seconds_total", "host1", machine.id)
    assert found.get(of_machine) == (4 if per_machine else None)
    assert (machine.id in str(found)) is per_machine
    assert "alice" not in str(found)
    lab.hypervisor.fail_next("statistics")
    await lab.engine.meter.tick(1003)
    found = await samples(lab)
    assert found["cernvm_host_use_cpu_seconds_total", "host1"] == 4, "no counter goes back"
    assert ("cernvm_host_use_memory_bytes", "host1") not in found
    await lab.end()


async def test_a_controller_samples_by_itself_at_whole_half_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.metering.meter.TICK", 0.05)
    lab = Lab(tmp_path)
    lab.settings = replace(lab.settings, metering=True)
    await lab.begin()
    await lab.started()
    await eventually(lambda: lab.hypervisor.calls.count("statistics") > 3)
    lab.hypervisor.fail_next("statistics")
    before = lab.hypervisor.calls.count("statistics")
    await eventually(lambda: lab.hypervisor.calls.count("statistics") > before + 3)
    await lab.end()


async def test_a_meter_that_fails_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.metering.meter.TICK", 0.05)
    lab = Lab(tmp_path)
    lab.settings = replace(lab.settings, metering=True)
    await lab.begin()
    ticks = []

    async def tick(slot):
        ticks.append(slot)
        raise StoreUnavailable("It is full.") if len(ticks) % 2 else ValueError("a bug")

    lab.engine.meter.tick = tick
    await eventually(lambda: len(ticks) > 3)
    assert ticks == sorted(set(ticks))
    await lab.end()
