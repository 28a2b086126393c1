"""Fake hosts whose machines use what a test says, and a meter that ticks when it is told to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.unit.store.samples import HUB, machine
from tests.unit.store.samples import site as hosts_in

from cernvmapi.models import Power
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.fakehost import FakeDomain
from cernvmcontroller.metering import Meter, UsageHistory
from cernvmcontroller.metering.history import Range
from cernvmcontroller.metering.tiers import TICK
from cernvmcontroller.store import Actor, Store
from cernvmcontroller.store.tables import HostRow, MachineRow

DAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) // TICK
"""The tick at the beginning of a day."""


@dataclass
class Link:
    """As much of a host as the meter sees."""

    id: str
    hypervisor: FakeHypervisor

    @property
    def alive(self) -> bool:
        return self.hypervisor.alive


class Hosts:
    """As much of the inventory as the meter sees."""

    def __init__(self) -> None:
        self.links = {name: Link(name, FakeHypervisor(deadline=0.2)) for name in ("one", "two")}


class Metered:
    """A store, two fake hosts and a meter."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.hosts = Hosts()
        self.slot = DAY

    async def begin(self) -> None:
        """Start a controller's meter, as after the death of the one before."""
        self.store = await Store.open(self.url, HUB)
        self.history = UsageHistory(self.store)
        self.meter = Meter(self.store, self.hosts, per_machine=True)  # type: ignore[arg-type]
        for link in self.hosts.links.values():
            if not link.alive:
                await link.hypervisor.open()

    async def end(self) -> None:
        """End it."""
        await self.store.close()

    async def restart(self) -> None:
        await self.end()
        await self.begin()

    async def machine(
        self, id_: str, *, host: str = "one", adopted: FakeDomain | None = None, **other: Any
    ) -> FakeDomain:
        """Make a machine that runs, or has been running."""
        uuid = naming.domain_uuid(HUB, id_)
        async with self.store.read() as session:
            first = await session.get(HostRow, "one") is None
        if first:
            await hosts_in(self.store)
        async with self.store.write(Actor.system(), "make", id_, audit=False) as tx:
            tx.session.add(machine(id_, uuid=uuid, host=host, **other))
        return adopted or self.boot(uuid, host)

    async def change(self, id_: str, **values: Any) -> None:
        """Change a machine's row."""
        async with self.store.write(Actor.system(), "change", id_, audit=False) as tx:
            row = await tx.session.get(MachineRow, id_)
            assert row is not None
            for name, value in values.items():
                setattr(row, name, value)

    def boot(self, uuid: str, host: str) -> FakeDomain:
        """Let a domain begin to run on a host."""
        place = self.hosts.links[host].hypervisor.host
        domain = place.domains.setdefault(uuid, FakeDomain(uuid, uuid, "<domain/>"))
        place.boot(domain)
        return domain

    def stop(self, domain: FakeDomain) -> None:
        domain.power = Power.OFF

    async def tick(self, ticks: int = 1) -> None:
        """Sample at the next tick, or after some that were missed."""
        self.slot += ticks
        await self.meter.tick(self.slot)

    def range(self, begin: int, end: int, **other: Any) -> Range:
        """Return a range between two ticks, counted from the day's first one."""
        first, last = (datetime.fromtimestamp((DAY + each) * TICK, UTC) for each in (begin, end))
        return Range(first, last, **other)


def use(domain: FakeDomain, **more: int) -> None:
    """Let a machine use something."""
    for name, amount in more.items():
        domain.used[name] = (domain.used.get(name) or 0) + amount
