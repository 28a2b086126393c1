"""Metrics for Prometheus, in a registry of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass
class Metrics:
    """What the web layer counts, and what of the machines and hosts is read when somebody asks.

    Parameters
    ----------
    registry
        To which everything is registered.
    """

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Histogram(
            "cernvm_request_seconds",
            "How long requests took, event streams excepted.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.refused = Counter(
            "cernvm_requests_refused_total",
            "Requests that nobody was allowed to make.",
            ("code",),
            registry=self.registry,
        )
        self.subscribers = Gauge(
            "cernvm_event_subscribers", "Event streams that are open.", registry=self.registry
        )
        self.events = Counter(
            "cernvm_events_sent_total", "Events that were sent to subscribers.", registry=self.registry
        )
        self.machines = Gauge("cernvm_machines", "Machines.", ("status",), registry=self.registry)
        self.hosts = Gauge(
            "cernvm_hosts", "Hosts, by whether they answer.", ("alive",), registry=self.registry
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
