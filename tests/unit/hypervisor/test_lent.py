"""A connection that is given up is closed when the last call on it has returned."""

from __future__ import annotations

import threading
import weakref

import pytest

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor.lent import Lent

DEADLINE = 10


class Libvirts:
    """What libvirt would give, as far as it matters here."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def lent() -> Lent:
    return Lent(Libvirts())


def test_a_call_has_the_connection_and_its_result_comes_back(lent: Lent) -> None:
    assert lent.call(lambda libvirts: libvirts) is lent.connection
    assert not lent.closed.is_set()


def test_what_nobody_uses_is_closed_at_once(lent: Lent) -> None:
    lent.give_up()
    lent.give_up()
    assert lent.closed.wait(DEADLINE)
    assert lent.connection.closed == 1


def test_under_a_call_that_waits_nothing_is_closed(lent: Lent) -> None:
    begun, answers = threading.Event(), threading.Event()

    def hang(libvirts: Libvirts) -> None:
        begun.set()
        assert answers.wait(DEADLINE)
        assert not libvirts.closed

    calls = [threading.Thread(target=lent.call, args=(hang,)) for _ in range(2)]
    for call in calls:
        call.start()
    assert begun.wait(DEADLINE)
    lent.give_up()
    with pytest.raises(HostUnreachable):
        lent.call(lambda _libvirts: None)
    assert lent.connection.closed == 0
    answers.set()
    assert lent.closed.wait(DEADLINE)
    assert lent.connection.closed == 1
    for call in calls:
        call.join()


def test_a_call_that_fails_is_over_too(lent: Lent) -> None:
    def fail(_libvirts: Libvirts) -> None:
        lent.give_up()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        lent.call(fail)
    assert lent.closed.wait(DEADLINE)


class Thing:
    """Of a connection, as libvirt's domains are."""


def test_what_a_call_had_is_let_go_of_with_its_error(lent: Lent) -> None:
    seen: list[weakref.ref[Thing]] = []

    def libvirts() -> None:
        raise KeyError("libvirt's")

    def fail(_connection: object) -> None:
        thing = Thing()
        seen.append(weakref.ref(thing))
        try:
            libvirts()
        except KeyError as error:
            raise ValueError("ours") from error

    with pytest.raises(ValueError, match="ours") as raised:
        lent.call(fail)
    assert raised.value.__traceback__ is not None
    assert seen[0]() is None, "nothing waits for the garbage collection"


def test_two_calls_at_a_time_have_a_connection_each() -> None:
    opened: list[Libvirts] = []

    def another() -> Libvirts:
        opened.append(Libvirts())
        return opened[-1]

    lent = Lent(Libvirts(), another)
    inner = lent.call(lambda mine: (mine, lent.call(lambda theirs: theirs)))
    assert inner == (opened[0], opened[1])
    assert lent.call(lambda mine: mine) in opened, "one that is free is lent again"
    assert len(opened) == 2
    lent.give_up()
    assert lent.closed.wait(DEADLINE)
    assert [each.closed for each in (lent.connection, *opened)] == [1, 1, 1]


def test_what_lasts_has_the_first_connection_one_call_after_the_other() -> None:
    lent = Lent(Libvirts(), Libvirts)
    inside = []

    def enter(libvirts: Libvirts) -> None:
        assert libvirts is lent.connection
        inside.append(threading.get_ident())
        assert len(inside) == 1
        inside.pop()

    calls = [threading.Thread(target=lent.call_first, args=(enter,)) for _ in range(8)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert not lent.opening


def test_one_more_that_does_not_come_about_is_that_calls_failure_alone() -> None:
    def another() -> Libvirts:
        assert lent.opening == 1
        raise OSError("no")

    lent = Lent(Libvirts(), another)
    with pytest.raises(OSError, match="no"):
        lent.call(lambda libvirts: libvirts)
    assert not lent.opening
    lent.give_up()
    assert lent.closed.wait(DEADLINE)
