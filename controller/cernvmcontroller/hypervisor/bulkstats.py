"""Counters of all domains of a host that run, in one call.

The names of the parameters are those in the documentation of libvirt's ``virConnectGetAllDomainStats``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import libvirt

from cernvmcontroller.hypervisor.statistics import DomainStatistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cernvmcontroller.hypervisor.connection import Connection

_DEADLINE = 10.0
"""Seconds; who does not answer by then is asked again at the next tick."""
GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_BLOCK
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
)
# A domain that is busy (migrated, saved) tells what needs no waiting and keeps no other from telling.
FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_KIB_PER_MIB = 1024
_NS_PER_MS = 1_000_000


async def read(connection: Connection) -> list[DomainStatistics]:
    """Return the counters of all domains that run."""

    def ask(libvirts: Any) -> list[DomainStatistics]:
        return [
            parse(domain.UUIDString(), domain.ID(), record)
            for domain, record in libvirts.getAllDomainStats(GROUPS, FLAGS)
        ]

    return await connection.call(ask, deadline=_DEADLINE)


def parse(uuid: str, run: int, record: Mapping[str, Any]) -> DomainStatistics:
    """Return what a record says.

    Parameters
    ----------
    run
        The domain's id in libvirt, which is another one after each start.
    """
    cpu_ns = record.get("cpu.time")
    return DomainStatistics(
        uuid,
        run,
        # What QEMU really holds; a guest that uses little of its memory takes little of the host's.
        memory_mib=record.get("balloon.rss", record.get("balloon.current", 0)) // _KIB_PER_MIB,
        cpu_ms=None if cpu_ns is None else cpu_ns // _NS_PER_MS,
        disk_read=_sum(record, "block", "rd.bytes"),
        disk_written=_sum(record, "block", "wr.bytes"),
        network_received=_sum(record, "net", "rx.bytes"),
        network_sent=_sum(record, "net", "tx.bytes"),
    )


def _sum(record: Mapping[str, Any], group: str, counter: str) -> int | None:
    """Return the sum over all devices; None where any of them does not say."""
    number = record.get(f"{group}.count")
    if number is None:
        return None
    each = [record.get(f"{group}.{n}.{counter}") for n in range(number)]
    return None if None in each else sum(filter(None, each))
