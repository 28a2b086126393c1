"""What becomes of a real connection when daemon or network fail."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.relay import Relay, relay
from tests.unit.hypervisor.bench import bench, read_until, until

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor.interface import ConnectionEvent
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cernvmcontroller.hypervisor.interface import HypervisorEvent

pytestmark = pytest.mark.machines


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Relay]:
    async with relay(tmp_path / "libvirt.sock") as made:
        yield made


@pytest.fixture
async def hypervisor(network: Relay) -> AsyncIterator[LibvirtHypervisor]:
    made = LibvirtHypervisor(network.uri, deadline=2, connect_deadline=2)
    await made.open()
    yield made
    await made.close()


async def test_a_call_on_a_silent_host_ends_at_its_deadline(
    network: Relay, hypervisor: LibvirtHypervisor
) -> None:
    network.fall_silent()
    began = time.monotonic()
    with pytest.raises(HostUnreachable):
        await hypervisor.capabilities()
    assert time.monotonic() - began < 5


async def test_a_host_that_fell_silent_is_noticed_without_a_call_and_comes_back(
    network: Relay, hypervisor: LibvirtHypervisor
) -> None:
    events: list[HypervisorEvent] = []
    hypervisor.subscribe(events.append)
    network.fall_silent()
    await until(lambda: not hypervisor.alive, 15)
    with pytest.raises(HostUnreachable):
        await hypervisor.domains()
    network.speak()
    await until(lambda: hypervisor.alive, 30)
    assert [event.alive for event in events if isinstance(event, ConnectionEvent)] == [False, True]
    await hypervisor.domains()


async def test_a_daemon_that_restarts_is_found_again(network: Relay, hypervisor: LibvirtHypervisor) -> None:
    await hypervisor.domains()
    await network.hang_up()
    await until(lambda: not hypervisor.alive)
    assert hypervisor.reason
    await network.listen()
    await until(lambda: hypervisor.alive, 30)
    await hypervisor.domains()


async def test_streams_end_with_their_connection(
    network: Relay, hypervisor: LibvirtHypervisor, tmp_path: Path
) -> None:
    async with bench("qemu", tmp_path) as made:
        await made.surroundings()
        spec = await made.defined()
        await made.hypervisor.start(spec.uuid)
        console = await hypervisor.open_console(spec.uuid)
        reading = asyncio.ensure_future(read_until(console, b"only its end ends this"))
        await network.hang_up()
        await asyncio.wait_for(reading, 20)
        with pytest.raises(ConnectionError):
            await console.write(b"x")
        await console.close()


async def test_many_calls_on_a_silent_host_trip_the_breaker(
    network: Relay, hypervisor: LibvirtHypervisor
) -> None:
    network.fall_silent()
    results = await asyncio.gather(*(hypervisor.domains() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {HostUnreachable}
    began = time.monotonic()
    with pytest.raises(HostUnreachable):
        await hypervisor.domains()
    assert time.monotonic() - began < 0.5
