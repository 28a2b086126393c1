"""Statistics of use, added up from starts and amounts."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cernvmapi.models import OperationStatus
from cernvmapi.usage import Grouping, UsageTotals, UseOf
from cernvmcontroller.metering.counters import Amounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


@dataclass
class _One:
    used: Amounts = field(default_factory=Amounts)
    ended: dict[OperationStatus, int] = field(default_factory=lambda: defaultdict(int))
    waits: list[float] = field(default_factory=list)


class Tallied:
    """What was added up so far.

    Parameters
    ----------
    by
        What an item is of.
    """

    def __init__(self, by: Grouping) -> None:
        self._by = by
        self._found: dict[str, _One] = defaultdict(_One)

    def used(self, name: str, amounts: Amounts) -> None:
        """Add what machines used."""
        one = self._found[name]
        one.used = one.used.plus(amounts)

    def started(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add starts: owner, appliance, outcome and milliseconds of each."""
        for owner, appliance, outcome, waited_ms in rows:
            one = self._found[owner if self._by is Grouping.OWNER else appliance]
            one.ended[outcome] += 1
            if outcome is OperationStatus.SUCCEEDED:
                one.waits.append(waited_ms / 1000)

    def items(self) -> list[UseOf]:
        """Return the items, those of most machine time first."""
        found = sorted(self._found.items(), key=lambda item: (-item[1].used.running, item[0]))
        return [_item(name, one) for name, one in found]


def _item(name: str, one: _One) -> UseOf:
    waits = sorted(one.waits)
    return UseOf(
        name=name,
        starts=sum(one.ended.values()),
        ready=one.ended[OperationStatus.SUCCEEDED],
        failed=one.ended[OperationStatus.FAILED],
        cancelled=one.ended[OperationStatus.CANCELLED],
        wait_seconds=_share(waits, 0.5),
        wait_seconds_p95=_share(waits, 0.95),
        wait_seconds_longest=_share(waits, 1),
        totals=totals(one.used),
    )


def _share(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share of all does not exceed."""
    return round(values[max(0, math.ceil(share * len(values)) - 1)], 3) if values else None


def totals(used: Amounts) -> UsageTotals:
    """Return amounts as they go over the wire."""
    return UsageTotals(
        machine_seconds=used.running,
        cpu_seconds=used.cpu_ms / 1000,
        memory_mib_seconds=used.memory,
        disk_read_bytes=used.disk_read,
        disk_written_bytes=used.disk_written,
        network_received_bytes=used.network_received,
        network_sent_bytes=used.network_sent,
    )
