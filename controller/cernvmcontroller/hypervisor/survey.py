"""What there is on a hypervisor, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lxml import etree

from cernvmapi.hosts import SeenNetwork, SeenPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from cernvmcontroller.hypervisor.offers import DomainKind, Offers

T = TypeVar("T")
_MIB = 1024 * 1024
_CAPACITY, _AVAILABLE = 1, 3
"""Places in what libvirt says of a pool, in bytes."""


@dataclass(frozen=True)
class Survey:
    """What was seen; what a driver does not have is empty."""

    domains: int = 0
    running: int = 0
    memory_free_mib: int | None = None
    pools: tuple[SeenPool, ...] = ()
    networks: tuple[SeenNetwork, ...] = ()


class Surveyed(Protocol):
    """What can be surveyed."""

    async def survey(self) -> Survey:
        """Return what there is on it."""
        ...

    async def offers(self, kind: DomainKind) -> Offers:
        """Return what there is for domains of a kind."""
        ...


def read(connection: Any) -> Survey:
    """Ask libvirt (in a thread)."""
    domains = connection.listAllDomains()
    free = _if_there(connection.getFreeMemory)
    return Survey(
        domains=len(domains),
        running=sum(bool(domain.isActive()) for domain in domains),
        memory_free_mib=None if free is None else free // _MIB,
        pools=tuple(map(_pool, _if_there(connection.listAllStoragePools) or ())),
        networks=tuple(map(_network, _if_there(connection.listAllNetworks) or ())),
    )


def _if_there(ask: Callable[[], T]) -> T | None:
    """Return the answer, None where the driver has no such thing."""
    # Imported here: the fake needs the records above and no libvirt.
    import libvirt  # noqa: PLC0415

    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() in {libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}:
            return None
        raise


def _pool(pool: Any) -> SeenPool:
    facts = pool.info()
    return SeenPool(
        name=pool.name(),
        active=bool(pool.isActive()),
        kind=etree.fromstring(pool.XMLDesc().encode()).get("type") or "",
        capacity_mib=facts[_CAPACITY] // _MIB,
        available_mib=facts[_AVAILABLE] // _MIB,
    )


def _network(network: Any) -> SeenNetwork:
    root = etree.fromstring(network.XMLDesc().encode())
    bridge, forward = root.find("bridge"), root.find("forward")
    return SeenNetwork(
        name=network.name(),
        active=bool(network.isActive()),
        bridge=(bridge.get("name") or "") if bridge is not None else "",
        forward=(forward.get("mode") or "nat") if forward is not None else "",
    )
