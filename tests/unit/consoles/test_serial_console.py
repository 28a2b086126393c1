"""One stream a machine, shown to many: what is kept, what each sees, and who may write."""

import asyncio

import pytest

from cernvmapi.consoles import ConsolePosition
from cernvmcontroller.consoles import serial as console
from cernvmcontroller.consoles.ring import Ring
from cernvmcontroller.consoles.serial import Consoles
from cernvmcontroller.consoles.viewing import SerialViewing, TooSlow
from cernvmcontroller.hypervisor.fakestream import MemoryStream


class Line:
    """A console that is opened again and again; `guest` is the machine's end."""

    def __init__(self, consoles):
        self.consoles = consoles
        self.opened = 0

    async def open(self):
        ours, self.guest = MemoryStream.pair()
        self.opened += 1
        return ours


@pytest.fixture
async def consoles():
    consoles = Consoles()
    yield consoles
    await consoles.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def line(consoles):
    line = Line(consoles)
    consoles.follow("m", line.open)
    await until(lambda: "m" in consoles._streams)
    return line


def viewing(consoles, *, after=None, view_only=False):
    return SerialViewing(consoles, "m", view_only=view_only, after=after)


def test_a_ring_forgets_the_oldest_and_counts_on():
    ring = Ring(limit=4)
    ring.add(b"abc")
    ring.add(b"def")
    assert (ring.data(), ring.start, ring.end, ring.truncated) == (b"cdef", 2, 6, True)
    assert ring.since(4) == b"ef"
    assert ring.since(6) == b""


async def test_a_boot_begins_anew_and_the_counting_goes_on(consoles, line):
    await line.guest.write(b"first boot")
    first = viewing(consoles)
    assert await first.read() == b"first boot"
    consoles.restart("m")
    await line.guest.write(b"second")
    assert await first.read() == b"second"
    late = viewing(consoles)
    assert (late.greeting.offset, late.greeting.truncated) == (10, False)
    assert await late.read() == b"second"


async def test_who_comes_back_after_much_was_written_is_told_that_some_is_lost(consoles, line, monkeypatch):
    monkeypatch.setattr(consoles.ring("m"), "_limit", 8)
    await line.guest.write(b"0123456789abcdef")
    await until(lambda: consoles.ring("m").end == 16)
    again = viewing(consoles, after=ConsolePosition(stream=consoles.id, offset=4))
    assert (again.greeting.offset, again.greeting.truncated) == (8, True)
    exactly = viewing(consoles, after=ConsolePosition(stream=consoles.id, offset=16))
    assert (exactly.greeting.offset, exactly.greeting.truncated) == (16, False)
    ahead = viewing(consoles, after=ConsolePosition(stream=consoles.id, offset=17))
    assert (ahead.greeting.offset, ahead.greeting.truncated) == (8, True)


async def test_who_does_not_read_is_left_behind(consoles, line, monkeypatch):
    monkeypatch.setattr(consoles.ring("m"), "_limit", 8)
    slow, quick = viewing(consoles), viewing(consoles)
    await line.guest.write(b"01234567")
    assert await quick.read() == b"01234567"
    await line.guest.write(b"89")
    assert await quick.read() == b"89"
    with pytest.raises(TooSlow):
        await slow.read()


async def test_a_waiting_viewer_ends_with_its_close_and_with_the_machine(consoles, line):
    one, other = viewing(consoles), viewing(consoles)
    reading = [asyncio.create_task(each.read()) for each in (one, other)]
    await asyncio.sleep(0)
    await one.close()
    assert await asyncio.wait_for(reading[0], 10) == b""
    await consoles.leave("m")
    consoles.forget("m")
    assert await asyncio.wait_for(reading[1], 10) == b""
    assert consoles.kept("m") is None


async def test_all_may_write_and_what_one_writes_is_not_torn(consoles, line):
    viewers = [viewing(consoles) for _ in range(4)]
    await asyncio.gather(*(each.write(b"%d" % n * 100) for n, each in enumerate(viewers)))
    for n in range(4):
        assert await line.guest.read() == b"%d" % n * 100


async def test_a_console_that_is_lost_is_opened_again_and_viewers_stay(consoles, line, monkeypatch):
    monkeypatch.setattr(console, "_RETRY", 0.01)
    viewer = viewing(consoles)
    await line.guest.write(b"before ")
    assert await viewer.read() == b"before "
    await line.guest.close()
    await until(lambda: line.opened == 2)
    await line.guest.write(b"after")
    assert await viewer.read() == b"after"


async def test_who_writes_while_it_is_lost_is_told(consoles):
    consoles.ring("m")
    with pytest.raises(ConnectionError, match="not open now"):
        await viewing(consoles).write(b"x")
    await viewing(consoles, view_only=True).write(b"x")


async def test_a_machine_that_reads_nothing_takes_no_memory(consoles, monkeypatch):
    monkeypatch.setattr(console, "_WRITE_TIMEOUT", 0.05)

    class Deaf(MemoryStream):
        async def write(self, data):
            await asyncio.Event().wait()

    deaf = Deaf()

    async def opener():
        return deaf

    consoles.follow("m", opener)
    await until(lambda: "m" in consoles._streams)
    with pytest.raises(ConnectionError, match="reads nothing"):
        await viewing(consoles).write(b"x")
    assert deaf.closed
