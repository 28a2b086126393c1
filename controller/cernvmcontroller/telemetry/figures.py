"""How things stand at this moment, in numbers: read when somebody asks for the metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from cernvmcontroller.hypervisor.measured import Calls, calls_of
from cernvmcontroller.store import counts
from cernvmcontroller.store import inventory as rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cernvmapi.models import Host, Pool, Status
    from cernvmcontroller.inventory import Inventory
    from cernvmcontroller.machines.reconciler import Reconciler
    from cernvmcontroller.metering.meter import Meter, Use
    from cernvmcontroller.store import Store

_log = structlog.get_logger(__name__)
_PATIENCE = 5.0


@dataclass(frozen=True)
class Queue:
    """The reconciler's queue."""

    length: int = 0
    """Machines that are worked on, or about to be."""
    oldest: float = 0.0
    """Seconds since the longest of them was begun."""
    retrying: int = 0
    """Machines of which something failed, and that wait to be tried again."""
    retries: int = 0
    """How often anything was tried again."""


@dataclass(frozen=True)
class EventFigures:
    """The event log."""

    written: int = 0
    lagged: int = 0
    """How often a subscriber was too slow for its queue and had to read from the database."""
    resets: int = 0
    """How often one was told that what it knows is too old."""


@dataclass(frozen=True)
class Figures:
    """What there is, and how much is under way."""

    database: bool = True
    """Whether the database answered; without it the first four are empty."""
    machines: Mapping[Status, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    """Those that run, by what they do."""
    hosts: Sequence[Host] = ()
    pools: Sequence[Pool] = ()
    calls: Mapping[str, Calls] = field(default_factory=dict)
    """By host."""
    queue: Queue = field(default_factory=Queue)
    events: EventFigures = field(default_factory=EventFigures)
    use_of_hosts: Mapping[str, Use] = field(default_factory=dict)
    """What the machines on each host used."""
    use_of_machines: Mapping[tuple[str, str], Use] = field(default_factory=dict)
    """By machine and host, where the site wants that."""
    writes_waiting: int = 0
    loop_lag: float = 0.0
    """Seconds that the event loop was late by, at the worst of the last minute."""


async def read(
    store: Store, inventory: Inventory, reconciler: Reconciler, meter: Meter, *, loop_lag: float = 0.0
) -> Figures:
    """Return the figures; where the database does not answer, those that do not need it."""
    known = Figures(
        calls={link.id: calls_of(link.hypervisor) for link in inventory.links.values()},
        queue=reconciler.queue,
        events=EventFigures(store.events.written, store.events.lagged, store.events.resets),
        use_of_hosts=meter.hosts,
        use_of_machines=meter.machines,
        writes_waiting=store.turn.waiting,
        loop_lag=loop_lag,
    )
    try:
        async with asyncio.timeout(_PATIENCE), store.read() as session:
            return replace(
                known,
                machines=await counts.machines_by_status(session),
                operations=await counts.operations_under_way(session),
                hosts=await rows.host_models(session),
                pools=await rows.pool_models(session),
            )
    except Exception as error:  # noqa: BLE001 - whoever watches must hear of it, not be refused
        _log.warning("the database does not answer", error=type(error).__name__)
        return replace(known, database=False)
