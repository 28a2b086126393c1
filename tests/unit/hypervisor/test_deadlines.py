"""A hypervisor that hangs costs a deadline, not the controller."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.unit.hypervisor.bench import TEST_DRIVER, until

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor.breaker import BackOff, Breaker
from cernvmcontroller.hypervisor.interface import ConnectionEvent
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from cernvmcontroller.hypervisor.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the URI of a daemon that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"qemu+tcp://127.0.0.1:{server.getsockname()[1]}/system"


# --- the breaker ---


def test_a_breaker_trips_after_several_missed_deadlines_in_a_row() -> None:
    breaker = Breaker(3)
    assert [breaker.missed() for _ in range(4)] == [False, False, True, False]
    assert breaker.tripped


def test_an_answer_resets_the_breaker() -> None:
    breaker = Breaker(2)
    breaker.missed()
    breaker.answered()
    assert not breaker.missed()
    assert not breaker.tripped


def test_pauses_between_attempts_grow_to_a_limit() -> None:
    back_off = BackOff(first=1, longest=10)
    assert [back_off.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    back_off.reset()
    assert back_off.next() == 1


# --- the threads ---


async def test_a_call_returns_what_it_returns_or_raises_what_it_raises() -> None:
    workers = Workers("test")
    assert await workers.run(lambda: 42, 5) == 42
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 // 0, 5)
    workers.stop()


async def test_calls_that_hang_cost_their_deadline_and_leave_room_for_others() -> None:
    workers, release = Workers("test", size=2), threading.Event()
    hanging = [asyncio.ensure_future(workers.run(release.wait, 0.2)) for _ in range(4)]
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError] * 4
    assert await workers.run(lambda: "works", 5) == "works"
    release.set()
    assert await workers.run(lambda: "still works", 5) == "still works"
    workers.stop()


async def test_a_long_queue_is_not_a_hypervisor_that_hangs() -> None:
    workers, pause = Workers("test", size=1), threading.Event()
    assert await asyncio.gather(*(workers.run(lambda: pause.wait(0.1), 0.3) for _ in range(6))) == [False] * 6
    workers.stop()


async def test_who_waits_is_told_when_the_connection_is_given_up() -> None:
    workers, release = Workers("test", size=1), threading.Event()
    calls = [asyncio.ensure_future(workers.run(release.wait, 30)) for _ in range(2)]
    await asyncio.sleep(0)
    workers.stop()
    with pytest.raises(HostUnreachable):
        await calls[1]
    release.set()
    assert await calls[0]
    with pytest.raises(HostUnreachable):
        await workers.run(release.wait, 30)


async def test_no_more_than_a_few_calls_run_at_the_same_time() -> None:
    workers, together, most, lock = Workers("test", size=3), 0, 0, threading.Lock()
    barrier = threading.Barrier(3)

    def call() -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        barrier.wait(10)
        with lock:
            together -= 1

    await asyncio.gather(*(workers.run(call, 30) for _ in range(9)))
    assert most == 3
    workers.stop()


# --- a silent daemon ---


async def test_connecting_to_a_silent_socket_ends_at_the_deadline(silent: str) -> None:
    hypervisor = LibvirtHypervisor(silent, connect_deadline=0.3)
    began = time.monotonic()
    with pytest.raises(HostUnreachable, match="did not answer"):
        await hypervisor.open()
    assert time.monotonic() - began < 5
    assert not hypervisor.alive
    with pytest.raises(HostUnreachable):
        await hypervisor.domains()
    assert "did not answer" in hypervisor.reason
    await hypervisor.close()


async def test_a_silent_host_does_not_slow_another(silent: str, tmp_path: Path) -> None:
    (tmp_path / "node.xml").write_text(TEST_DRIVER)
    dead = LibvirtHypervisor(silent, connect_deadline=60)
    good = LibvirtHypervisor(f"test://{tmp_path}/node.xml")
    opening = asyncio.ensure_future(dead.open())
    await asyncio.wait_for(good.open(), 5)
    assert await asyncio.wait_for(good.domains(), 5) == []
    assert not opening.done()
    opening.cancel()
    await dead.close()
    await good.close()


async def test_a_refused_connection_says_so_and_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "node.xml"
    hypervisor = LibvirtHypervisor(f"test://{file}")
    events: list[object] = []
    hypervisor.subscribe(events.append)
    with pytest.raises(HostUnreachable):
        await hypervisor.open()
    file.write_text(TEST_DRIVER)
    await until(lambda: hypervisor.alive)
    assert events == [ConnectionEvent(alive=True)]
    assert hypervisor.reason == ""
    await hypervisor.close()


def test_a_program_ends_though_a_connect_hangs(silent: str) -> None:
    program = f"""
import asyncio
from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor import open_hypervisor
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor

async def main():
    hypervisor = LibvirtHypervisor({silent!r}, connect_deadline=0.2)
    try:
        await hypervisor.open()
    except HostUnreachable:
        print("unreachable")

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "unreachable\n")
