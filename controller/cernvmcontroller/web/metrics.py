"""Metrics for Prometheus, in a registry of their own. No other module knows Prometheus.

What happens is counted as it happens (`cernvmcontroller.telemetry.measures.Measures`); how things stand is
read when somebody asks (`cernvmcontroller.telemetry.figures.Figures`). Names and units are Prometheus' own;
labels are hosts, pools and what the code has a fixed list of, never users or machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from cernvmcontroller.telemetry.figures import Figures
from cernvmcontroller.web import usagemetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MIB = 1024 * 1024
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CALL_BUCKETS = (0.01, 0.1, 0.5, 2, 10, 30, 120)
"""Few: there is a histogram for each verb on each host."""
_LONG_BUCKETS = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)


class Standing(Collector):
    """The figures of the last time that somebody asked."""

    def __init__(self) -> None:
        self.figures = Figures()

    def collect(self) -> Iterable[Metric]:
        """Return them as metrics."""
        yield from self._machines()
        yield from self._hosts()
        yield from self._pools()
        yield from self._calls()
        yield from usagemetrics.collect(self.figures)
        yield from self._inside()

    def _machines(self) -> Iterator[Metric]:
        now = self.figures
        yield _gauges(
            "cernvm_machines", "Machines.", ["status"], {(key.value,): n for key, n in now.machines.items()}
        )
        yield _gauges(
            "cernvm_operations_running",
            "Operations that run.",
            ["action"],
            {(key,): n for key, n in now.operations.items()},
        )

    def _hosts(self) -> Iterator[Metric]:
        hosts = self.figures.hosts
        alive = [host.alive for host in hosts]
        yield _gauges(
            "cernvm_hosts",
            "Hosts, by whether they answer.",
            ["alive"],
            {("yes",): alive.count(True), ("no",): alive.count(False)},
        )
        for name, text, values in (
            ("up", "Whether the host answers (1) or not (0).", [int(host.alive) for host in hosts]),
            ("machines", "Machines that are placed on the host.", [host.machines for host in hosts]),
            ("vcpus", "Processors of the host.", [host.cpus for host in hosts]),
            ("vcpus_promised", "vCPUs promised to its machines.", [host.vcpus_promised for host in hosts]),
            ("memory_bytes", "Memory of the host.", [host.memory_mib * _MIB for host in hosts]),
            (
                "memory_promised_bytes",
                "Memory promised to its machines.",
                [host.memory_promised_mib * _MIB for host in hosts],
            ),
        ):
            names = ((host.name,) for host in hosts)
            yield _gauges(f"cernvm_host_{name}", text, ["host"], dict(zip(names, values, strict=True)))
        yield _gauges(
            "cernvm_host_unknown_since_timestamp_seconds",
            "Since when nothing is known of the host, in seconds since 1970; missing while it answers.",
            ["host"],
            {(host.name,): host.unknown_since.timestamp() for host in hosts if host.unknown_since},
        )

    def _pools(self) -> Iterator[Metric]:
        pools = self.figures.pools
        for name, text, values in (
            ("up", "Whether the pool can be used (1) or not (0).", [int(pool.alive) for pool in pools]),
            ("capacity_bytes", "Size of the pool.", [pool.capacity_mib * _MIB for pool in pools]),
            ("available_bytes", "What is free in the pool.", [pool.available_mib * _MIB for pool in pools]),
        ):
            names = ((pool.name,) for pool in pools)
            yield _gauges(f"cernvm_pool_{name}", text, ["pool"], dict(zip(names, values, strict=True)))

    def _calls(self) -> Iterator[Metric]:
        calls = self.figures.calls
        yield _gauges(
            "cernvm_hypervisor_calls_in_flight",
            "Calls to the host that did not end yet.",
            ["host"],
            {(host,): now.in_flight for host, now in calls.items()},
        )
        yield _gauges(
            "cernvm_hypervisor_calls_stuck",
            "Calls to the host that passed their deadline and never returned.",
            ["host"],
            {(host,): now.stuck for host, now in calls.items()},
        )
        yield _gauges(
            "cernvm_hypervisor_breaker_open",
            "Whether so many deadlines were missed that the host is left alone (1) or not (0).",
            ["host"],
            {(host,): int(now.breaker_open) for host, now in calls.items()},
        )

    def _inside(self) -> Iterator[Metric]:
        now = self.figures
        for name, text, value in (
            ("reconciler_queue_length", "Machines that are worked on, or about to be.", now.queue.length),
            (
                "reconciler_oldest_seconds",
                "For how long the one of them that takes longest has been worked on.",
                now.queue.oldest,
            ),
            (
                "reconciler_retrying",
                "Machines of which something failed and is going to be tried again.",
                now.queue.retrying,
            ),
            ("database_up", "Whether the database answers (1) or not (0).", int(now.database)),
            ("database_writes_waiting", "Writes that wait for their turn.", now.writes_waiting),
            (
                "event_loop_lag_seconds",
                "How late the event loop was, at the worst of the last minute.",
                now.loop_lag,
            ),
        ):
            yield _gauges(f"cernvm_{name}", text, [], {(): value})
        for name, text, total in (
            ("reconciler_retries", "Steps that were tried again after a failure.", now.queue.retries),
            ("events_written", "Events that were written.", now.events.written),
            (
                "events_lagged",
                "Times that a subscriber was too slow and had to read from the database.",
                now.events.lagged,
            ),
            ("events_reset", "Times that a subscriber was told to begin anew.", now.events.resets),
        ):
            family = CounterMetricFamily(f"cernvm_{name}", text, labels=[])
            family.add_metric([], total)
            yield family


def _gauges(name: str, text: str, labels: Sequence[str], values: dict[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


@dataclass
class Metrics:
    """All that is counted: `cernvmcontroller.telemetry.measures.Measures`, and the web layer's own.

    Parameters
    ----------
    registry
        To which everything is registered.
    """

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.labels: dict[str, tuple[str, ...]] = {}
        """Of what is counted as it happens, by its name; for the documentation."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._standing = Standing()
        self.registry.register(self._standing)
        Info("cernvm_build", "Version of the controller.", registry=self.registry).info(
            {"version": version("cernvmhub")}
        )
        self.requests = self._histogram(
            "cernvm_request_seconds",
            "How long requests took, event streams excepted.",
            "method", "route", "status",
        )  # fmt: skip
        self.refused = self._counter(
            "cernvm_requests_refused_total", "Requests that nobody was allowed to make.", "code"
        )
        self.subscribers = Gauge(
            "cernvm_event_subscribers", "Event streams that are open.", registry=self.registry
        )
        self.labels["cernvm_consoles_open"] = ("kind",)
        self.consoles = Gauge(
            "cernvm_consoles_open", "Consoles that somebody looks at.", ["kind"], registry=self.registry
        )
        self.consoles_opened = self._counter(
            "cernvm_consoles_opened_total", "Consoles that were opened.", "kind"
        )
        self.events = self._counter("cernvm_events_sent_total", "Events that were sent to subscribers.")
        self._starts = self._counter(
            "cernvm_starts_total",
            "Starts, by how they ended (ready, failed, cancelled), in which phase and why (an error's code).",
            "outcome", "phase", "reason",
        )  # fmt: skip
        self._phases = self._histogram(
            "cernvm_start_phase_seconds",
            "How long each phase of a start lasted, by how the start ended.",
            "phase", "outcome",
            buckets=_LONG_BUCKETS,
        )  # fmt: skip
        self._operations = self._histogram(
            "cernvm_operation_seconds",
            "How long operations took, by what they did and how they ended.",
            "action", "outcome",
            buckets=_LONG_BUCKETS,
        )  # fmt: skip
        self._calls = self._histogram(
            "cernvm_hypervisor_call_seconds",
            "How long calls to hosts took, the wait for a free thread included.",
            "host", "verb",
            buckets=_CALL_BUCKETS,
        )  # fmt: skip
        self._call_errors = self._counter(
            "cernvm_hypervisor_call_errors_total",
            "Calls to hosts that failed, by the error's code.",
            "host", "verb", "code",
        )  # fmt: skip
        self._writes = self._histogram(
            "cernvm_database_write_seconds", "How long writes of the database took."
        )
        self._write_waits = self._histogram(
            "cernvm_database_write_wait_seconds", "How long writes waited for their turn."
        )

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: Sequence[float] = _BUCKETS
    ) -> Histogram:
        self.labels[name] = labels
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.labels[name] = labels
        return Counter(name, text, labels, registry=self.registry)

    # --- what happens ---

    def start_ended(self, outcome: str, reason: str, phases: Sequence[tuple[str, float]]) -> None:
        """Count a start, and its phases."""
        self._starts.labels(outcome, phases[-1][0] if phases else "", reason).inc()
        for phase, seconds in phases:
            self._phases.labels(phase, outcome).observe(seconds)

    def operation_ended(self, action: str, outcome: str, seconds: float) -> None:
        """Count an operation."""
        self._operations.labels(action, outcome).observe(seconds)

    def called(self, host: str, verb: str, seconds: float, code: str) -> None:
        """Count a call to a host."""
        self._calls.labels(host, verb).observe(seconds)
        if code:
            self._call_errors.labels(host, verb, code).inc()

    def wrote(self, waited: float, seconds: float) -> None:
        """Count a write of the database."""
        self._write_waits.observe(waited)
        self._writes.observe(seconds)

    # --- what is read ---

    def text(self, figures: Figures) -> bytes:
        """Return all metrics in Prometheus' text format; may be called in a thread."""
        self._standing.figures = figures
        return generate_latest(self.registry)
