"""A stream of a host that stops answering ends, as its contract says, for who reads and who writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import libvirt
import pytest

from cernvmapi.errors import CernVMError, HostUnreachable, HypervisorFailed
from cernvmcontroller.hypervisor.streams import LibvirtStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.connection import Connection


class Failing:
    """A connection whose calls fail from some time on."""

    def __init__(self) -> None:
        self.error: CernVMError | None = None

    def when_lost(self, _callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    async def call(self, function: Callable[[Any], Any], *, lasting: bool) -> Any:
        assert lasting
        if self.error is not None:
            raise self.error
        return function(None)


class Port:
    """Libvirt's stream, which has a lot to say."""

    def eventAddCallback(self, _mask: int, serve: Any, opaque: object) -> None:  # noqa: N802 - libvirt's name
        self.arrive = lambda: serve(self, libvirt.VIR_STREAM_EVENT_READABLE, opaque)

    def eventUpdateCallback(self, _mask: int) -> None:  # noqa: N802
        pass

    def recv(self, size: int) -> bytes:
        return b"x" * size


@pytest.mark.parametrize(
    "error", [HostUnreachable("No answer."), HypervisorFailed("Not open.")], ids=["silent", "refused"]
)
async def test_a_stream_whose_host_fails_it_ends(error: CernVMError) -> None:
    connection, port = Failing(), Port()
    stream = LibvirtStream(cast("Connection", connection), port)
    await stream.watch()
    for _ in range(16):  # until no more is taken
        port.arrive()
    connection.error = error
    assert len(await stream.read()) == 1024 * 1024
    assert await stream.read() == b""
    with pytest.raises(ConnectionError):
        await stream.write(b"hello")


async def test_who_writes_to_a_host_that_does_not_answer_is_told_that_the_stream_is_gone() -> None:
    connection, port = Failing(), Port()
    stream = LibvirtStream(cast("Connection", connection), port)
    await stream.watch()
    connection.error = HostUnreachable("No answer.")
    with pytest.raises(ConnectionError, match="No answer"):
        await stream.write(b"hello")
    assert await stream.read() == b""
