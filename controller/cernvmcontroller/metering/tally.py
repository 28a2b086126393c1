"""Whose amounts they are: of a machine as it is now, and of each sum that it is part of."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from cernvmcontroller.metering.counters import Amounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cernvmcontroller.metering.counters import Reading


class Kind(StrEnum):
    """What a series is of."""

    MACHINE = "machine"
    HOST = "host"
    APPLIANCE = "appliance"
    CLUSTER = "cluster"


class Metered(NamedTuple):
    """What is known of a machine that decides to whom its use belongs."""

    id: str
    owner: str
    host: str
    appliance: str
    cluster: str


class Series(NamedTuple):
    """What `cernvmcontroller.store.usagetables.SeriesRow` is known by."""

    kind: Kind
    subject: str
    owner: str = ""
    host: str = ""
    appliance: str = ""


Rows = dict[tuple[int, Series], list[Amounts]]
"""What is to be summed up, by slot of a tick and series."""


def series_of(machine: Metered) -> Iterator[Series]:
    """Yield the series that a machine's use belongs to.

    A user's is summed up when it is asked for, as users have few machines.
    """
    yield Series(Kind.MACHINE, machine.id, machine.owner, machine.host, machine.appliance)
    yield Series(Kind.HOST, machine.host)
    yield Series(Kind.APPLIANCE, machine.appliance)
    if machine.cluster:
        yield Series(Kind.CLUSTER, machine.cluster)


def add(rows: Rows, reading: Reading, machines: Mapping[str, Metered], host: str) -> None:
    """Add what a host's machines used to `rows`; what lasted several ticks is spread evenly over them.

    Parameters
    ----------
    machines
        By UUID. Domains that are none of the hub's are left out, and those that are on their way to or from
        another host, where they are counted.
    """
    ticks = reading.baseline.slot - reading.first
    for uuid, used in reading.used.items():
        machine = machines.get(uuid)
        if machine is None or machine.host != host:
            continue
        parts = list(used.parts(ticks)) if ticks > 1 else [used]
        for series in series_of(machine):
            for slot, part in enumerate(parts, reading.first):
                rows.setdefault((slot, series), []).append(part)
