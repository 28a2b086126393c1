"""A host that is attached: its hypervisor, what exists there for us, and whether it answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from cernvmapi.errors import CernVMError, StoreUnavailable
from cernvmcontroller.hypervisor.interface import (
    ConnectionEvent,
    DomainEvent,
    HostCapabilities,
    Hypervisor,
    HypervisorEvent,
    PoolState,
)
from cernvmcontroller.tasks import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cernvmcontroller.inventory.hostspec import HostSpec

_log = structlog.get_logger(__name__)
_RETRY = 10.0


class HostLink:
    """A host.

    Parameters
    ----------
    spec
        What was configured.
    hypervisor
        Its connection.
    slots
        How many machines may be made on it at the same time.
    """

    def __init__(self, spec: HostSpec, hypervisor: Hypervisor, slots: int = 8) -> None:
        self.spec = spec
        self.hypervisor = hypervisor
        self.slots = asyncio.Semaphore(slots)
        self.capabilities: HostCapabilities | None = None
        self.pool: PoolState | None = None
        self.reason = "not connected yet"
        self.acceleration: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """``kvm`` or ``qemu``, once it is known."""
        self.tried = asyncio.Event()
        """Set once it is known whether it answers."""
        self._prepared = False
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def id(self) -> str:
        """Id of the host, which is its name."""
        return self.spec.name

    @property
    def alive(self) -> bool:
        """Whether machines can be made, seen and ended there now."""
        return self._prepared and self.hypervisor.alive

    def attach(
        self,
        *,
        came: Callable[[HostLink], Awaitable[None]],
        went: Callable[[HostLink], Awaitable[None]],
        happened: Callable[[str], None],
    ) -> None:
        """Connect in the background, and again whenever the connection is lost.

        Parameters
        ----------
        came
            Awaited each time that the host answers (again) and everything of ours exists on it.
        went
            Awaited each time that it does not answer, or that something could not be made on it.
        happened
            Called with the UUID of a domain to which something happened.
        """

        def hear(event: HypervisorEvent) -> None:
            match event:
                case DomainEvent(uuid=uuid):
                    happened(uuid)
                case ConnectionEvent(alive=alive, reason=reason):
                    if not alive:
                        self._prepared, self.reason = False, reason or "its connection was lost"
                    self._wake.set()

        self._unsubscribe = self.hypervisor.subscribe(hear)
        self._tasks.append(asyncio.create_task(self._hold(came, went), name=f"host {self.id}"))

    async def close(self) -> None:
        """Disconnect; machines go on."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        await end(self._tasks)
        self.acceleration.cancel()
        await self.hypervisor.close()

    async def _hold(
        self, came: Callable[[HostLink], Awaitable[None]], went: Callable[[HostLink], Awaitable[None]]
    ) -> None:
        try:
            await self.hypervisor.open()
        except CernVMError as error:
            self.reason = error.detail
        while True:
            self._wake.clear()
            try:
                if self.hypervisor.alive and not self._prepared:
                    await self._prepare()
                    await came(self)
                elif not self.hypervisor.alive:
                    self.reason = self.hypervisor.reason or self.reason
                    await went(self)
                retry = None
            except Exception as error:  # noqa: BLE001 - a host must not be lost because we erred once
                retry = _RETRY
                await self._give_up(error, went)
            self.tried.set()
            try:
                async with asyncio.timeout(retry):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _give_up(self, error: Exception, went: Callable[[HostLink], Awaitable[None]]) -> None:
        """Take the host for not usable, for some time."""
        if isinstance(error, CernVMError):
            _log.warning("host not usable", host=self.id, reason=error.detail)
            reason = error.detail
        else:
            _log.error("host not usable", host=self.id, exc_info=error)
            reason = "an error of the controller; see its log"
        self._prepared, self.reason = False, reason
        with suppress(StoreUnavailable):  # then it is written down when the host is tried again
            await went(self)

    async def _prepare(self) -> None:
        """Make exist what every machine there needs; each part is left alone where it is as it should be."""
        self.capabilities = await self.hypervisor.capabilities()
        if self.spec.networked:
            await self.hypervisor.ensure_filter(self.spec.filter)
            await self.hypervisor.ensure_network(self.spec.network)
        if self.spec.provisions:
            self.pool = await self.hypervisor.ensure_pool(self.spec.pool)
        self._prepared, self.reason = True, ""

    def known_acceleration(self) -> str | None:
        """Return how machines run there, None before it is known."""
        if self.acceleration.done() and not self.acceleration.cancelled():
            return self.acceleration.result()
        return None

    def settle_acceleration(self, found: str) -> None:
        """Say how machines run there."""
        if not self.acceleration.done():
            self.acceleration.set_result(found)

    def probe(self, image: Path | None, remember: Callable[[str, bool], Awaitable[None]]) -> None:
        """Find out in the background how machines run there, by running one.

        Parameters
        ----------
        image
            The tiny guest; without one nothing is proven and machines are emulated.
        remember
            Awaited with what was found, and whether it is proven.
        """
        self._tasks.append(asyncio.create_task(self._probe(image, remember), name=f"probe {self.id}"))

    async def _probe(self, image: Path | None, remember: Callable[[str, bool], Awaitable[None]]) -> None:
        proven = image is not None
        try:
            found = await self.hypervisor.probe_acceleration(image, self.spec.pool.name)
        except CernVMError as error:
            _log.warning("acceleration not probed", host=self.id, reason=error.detail)
            found, proven = "qemu", False
        with suppress(StoreUnavailable):  # then it is found out again
            await remember(found, proven)
        self.settle_acceleration(found)
        _log.info("acceleration found", host=self.id, acceleration=found)
