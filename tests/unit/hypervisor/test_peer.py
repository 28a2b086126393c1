"""Where a daemon listens, and connections to it that nobody waits for any more."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.hypervisor.bench import until

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor.breaker import BackOff
from cernvmcontroller.hypervisor.connection import _MOST_ATTEMPTS, Connection
from cernvmcontroller.hypervisor.peer import Peer, connections, hang_up

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Yield a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize(
    ("uri", "peer"),
    [
        ("qemu+tls://node7.example.org/system?pkipath=/a", Peer("node7.example.org", 16514)),
        ("qemu://node7/system", Peer("node7", 16514)),
        ("qemu+tcp://[::1]:5000/system", Peer("::1", 5000)),
        ("xen+tls://operator@node7/", Peer("node7", 16514)),
        ("qemu:///system", None),
        ("qemu+unix:///system?socket=/run/s", None),
        ("qemu+ssh://node7/system", None),
        ("esx://vcenter/?no_verify=1", None),
        ("test:///default", None),
        ("qemu+tls://node7:port/system", None),
    ],
)
def test_a_uri_says_where_the_daemon_listens(uri: str, peer: Peer | None) -> None:
    assert Peer.of(uri) == peer


async def test_a_daemon_that_takes_connections_is_reached(silent: socket.socket) -> None:
    address = silent.getsockname()
    assert await Peer("localhost", address[1]).reach(5) == address


async def test_nobody_there_is_said_in_plain_words(silent: socket.socket) -> None:
    port = silent.getsockname()[1]
    silent.close()
    with pytest.raises(HostUnreachable, match=r"nothing answers at its address \(Connection refused\)"):
        await Peer("127.0.0.1", port).reach(5)
    with pytest.raises(HostUnreachable, match=r"the name nowhere\.invalid is not known"):
        await Peer("nowhere.invalid", port).reach(20)


def test_looking_for_connections_leaves_nothing_open(silent: socket.socket) -> None:
    ours = Path("/proc/self/fd")
    before = len(list(ours.iterdir()))
    connections(silent.getsockname())
    assert len(list(ours.iterdir())) == before


def test_only_the_new_connections_are_hung_up(silent: socket.socket) -> None:
    address = silent.getsockname()
    with socket.create_connection(address) as old, socket.create_connection(address) as new:
        assert connections(address) == {old.getsockname(), new.getsockname()}
        hang_up(address, {old.getsockname()})
        assert new.recv(1) == b"", "ended"
        old.settimeout(0)
        with pytest.raises(BlockingIOError):
            old.recv(1)


async def test_attempts_to_connect_do_not_add_up_though_a_silent_host_lost_its_power(
    silent: socket.socket,
) -> None:
    """Its kernel took the connections and acknowledged what libvirt said: no end of them would ever come."""
    uri = f"qemu+tcp://127.0.0.1:{silent.getsockname()[1]}/system"
    back_off = BackOff(first=0.01, longest=0.01)
    connection = Connection(uri, connect_deadline=0.05, back_off=back_off)
    with pytest.raises(HostUnreachable, match="did not answer"):
        await connection.open()
    await until(lambda: back_off._attempts > 2 * _MOST_ATTEMPTS)
    assert connection._pending.count <= 2, "the last one, and the one that is made now"
    await connection.close()
    await until(lambda: not connection._pending.count)
