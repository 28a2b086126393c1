"""What machines use, as metrics: sums of each host, and of each machine where the site wants that.

The counters begin at zero with this controller, as Prometheus expects of a program that was restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cernvmcontroller.metering.meter import Use
    from cernvmcontroller.telemetry.figures import Figures

_MIB = 1024 * 1024
_TOTALS = (
    ("cpu_seconds", "CPU time that {whose} used.", "cpu_ms", 1000),
    ("disk_read_bytes", "What {whose} read from disks.", "disk_read", 1),
    ("disk_written_bytes", "What {whose} wrote to disks.", "disk_written", 1),
    ("network_received_bytes", "What {whose} received.", "network_received", 1),
    ("network_sent_bytes", "What {whose} sent.", "network_sent", 1),
)


def collect(figures: Figures) -> Iterator[Metric]:
    """Return the metrics of use."""
    hosts = {(host,): use for host, use in figures.use_of_hosts.items()}
    yield from _family("host_use", ["host"], "the machines on the host", hosts)
    if figures.use_of_machines:
        yield from _family("machine_use", ["machine", "host"], "the machine", figures.use_of_machines)


def _family(name: str, labels: Sequence[str], whose: str, found: Mapping[Any, Use]) -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        f"cernvm_{name}_memory_bytes",
        f"Memory of the host that {whose} held at the last sample.",
        labels=labels,
    )
    for key, use in found.items():
        if use.seconds:
            memory.add_metric(key, use.last.memory * _MIB / use.seconds)
    yield memory
    for counter, text, amount, scale in _TOTALS:
        family = CounterMetricFamily(f"cernvm_{name}_{counter}", text.format(whose=whose), labels=labels)
        for key, use in found.items():
            family.add_metric(key, getattr(use.total, amount) / scale)
        yield family
