"""What a hypervisor says that its running domains used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DomainStatistics:
    """A running domain's counters, as they are now; None where the hypervisor does not say this time."""

    uuid: str
    run: int
    """Changes with every start: the counters begin at zero then."""
    memory_mib: int = 0
    """What it holds of the host's memory, else of its own."""
    cpu_ms: int | None = None
    """CPU time, of all its vCPUs and of what emulates for it."""
    disk_read: int | None = None
    """Bytes, of all its disks."""
    disk_written: int | None = None
    network_received: int | None = None
    """Bytes, of all its cards, as the guest sees it."""
    network_sent: int | None = None

    @property
    def counters(self) -> tuple[int | None, int | None, int | None, int | None, int | None]:
        """What only grows."""
        return (
            self.cpu_ms,
            self.disk_read,
            self.disk_written,
            self.network_received,
            self.network_sent,
        )
