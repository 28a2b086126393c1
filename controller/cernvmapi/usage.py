"""What machines used, as it goes over the wire: history in columns, ready to be drawn, and statistics.

Figures are means over the time that was measured: processors in use, MiB held, bytes a second. Totals are
sums.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import field

from cernvmapi.models import Sent

BARS = "▁▂▃▄▅▆▇█"


class UsageTotals(Sent, frozen=True, kw_only=True):
    """What was used in all."""

    machine_seconds: int = 0
    """Seconds that machines ran: two machines in an hour are 7,200."""
    cpu_seconds: float = 0.0
    """CPU time, of all vCPUs."""
    memory_mib_seconds: int = 0
    """MiB of a host's memory, times the seconds for which they were held."""
    disk_read_bytes: int = 0
    disk_written_bytes: int = 0
    network_received_bytes: int = 0
    network_sent_bytes: int = 0


class Usage(Sent, frozen=True, kw_only=True):
    """What something used over time: all columns have one entry a point, null where nothing was measured."""

    subject: str
    """``machine/<id>``, ``host/<id>``, ``cluster/<id>``, ``appliance/<id>``, ``user/<name>``; ``hub`` is
    everything."""
    start: datetime
    """When the first point begins."""
    end: datetime
    """When the last point ends."""
    resolution: int
    """Seconds from one point to the next."""
    machines: list[float | None] = field(default_factory=list)
    """How many ran."""
    cpus: list[float | None] = field(default_factory=list)
    """How many processors they kept busy."""
    memory_mib: list[float | None] = field(default_factory=list)
    """How much of their hosts' memory they held."""
    disk_read: list[float | None] = field(default_factory=list)
    """Bytes a second, as the next three."""
    disk_written: list[float | None] = field(default_factory=list)
    network_received: list[float | None] = field(default_factory=list)
    network_sent: list[float | None] = field(default_factory=list)
    totals: UsageTotals = field(default_factory=UsageTotals)
    """Of the whole range."""

    @property
    def times(self) -> list[datetime]:
        """When each point begins."""
        step = timedelta(seconds=self.resolution)
        return [self.start + number * step for number in range(len(self.cpus))]

    def __str__(self) -> str:
        """Draw the columns that say most, a line each."""
        lines = [f"{self.subject}, {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"]
        for title, column, unit in (
            ("CPUs", self.cpus, ""),
            ("memory", self.memory_mib, " MiB"),
            ("disk", _both(self.disk_read, self.disk_written), " B/s"),
            ("network", _both(self.network_received, self.network_sent), " B/s"),
        ):
            known = [value for value in column if value is not None]
            most = f"up to {max(known):,.4g}{unit}" if known else "not measured"
            lines.append(f"{title:>8} {bars(column)} {most}")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:
        """Let a notebook show what `str` says."""
        del cycle
        printer.text(str(self))  # type: ignore[attr-defined]


class Grouping(StrEnum):
    """What statistics are made by."""

    APPLIANCE = "appliance"
    OWNER = "owner"


class UseOf(Sent, frozen=True, kw_only=True):
    """How an appliance, or a user, was served."""

    name: str
    """Id of the appliance, or name of the user; empty where nobody knows any more."""
    starts: int = 0
    """Starts that were asked for, those of machines that ran already included."""
    ready: int = 0
    failed: int = 0
    cancelled: int = 0
    wait_seconds: float | None = None
    """From the request to a machine that is ready: the half of all starts took no longer."""
    wait_seconds_p95: float | None = None
    """The same for 95 of 100."""
    wait_seconds_longest: float | None = None
    totals: UsageTotals = field(default_factory=UsageTotals)


class UsageStatistics(Sent, frozen=True, kw_only=True):
    """Who started what, how long they waited, and what was used."""

    start: datetime
    end: datetime
    by: Grouping
    items: list[UseOf] = field(default_factory=list)
    """Who had machines for longest comes first."""


def _both(one: list[float | None], other: list[float | None]) -> list[float | None]:
    return [None if a is None or b is None else a + b for a, b in zip(one, other, strict=True)]


def bars(column: list[float | None], width: int = 60) -> str:
    """Return a column as a line of bars from zero to its largest value, at most so many; a gap is a space."""
    size = max(1, -(-len(column) // width))
    shown = []
    for begin in range(0, len(column), size):
        known = [value for value in column[begin : begin + size] if value is not None]
        shown.append(sum(known) / len(known) if known else None)
    most = max((value for value in shown if value), default=1.0)
    steps = len(BARS) - 1
    return "".join(" " if value is None else BARS[round(value / most * steps)] for value in shown)
