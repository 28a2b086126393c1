"""Machines of an earlier installation on our network: its state was deleted, and its machines were not.

They have the names of this installation and another hub id. Nothing is done to them; what they have is left
to them, and it is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

import structlog

from cernvmapi.models import ComponentHealth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cernvmcontroller.hypervisor.interface import DomainState
    from cernvmcontroller.hypervisor.specs import NetworkSpec

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stranger:
    """One of them."""

    domain: str
    index: int | None
    """Number of its address on the network; None where it has none there."""


def find(domains: Iterable[DomainState], hub_id: str, network: NetworkSpec) -> list[Stranger]:
    """Return the machines of other installations that use our network."""
    return [
        Stranger(domain.name, _index(network, domain.metadata.address))
        for domain in domains
        if domain.metadata is not None
        and domain.metadata.hub_id != hub_id
        and domain.metadata.network == network.name
    ]


def _index(network: NetworkSpec, address: str | None) -> int | None:
    try:
        index = int(IPv4Address(address or "")) - int(network.address(0))
    except AddressValueError:
        return None
    return index if 0 <= index < network.hosts else None


class Strangers:
    """What is known of them, by host."""

    def __init__(self, hub_id: str) -> None:
        self._hub_id = hub_id
        self._by_host: dict[str, tuple[str, list[Stranger]]] = {}

    def look(self, host: str, network: NetworkSpec, domains: Iterable[DomainState]) -> None:
        """Take over what a host has; say it once."""
        found = find(domains, self._hub_id, network)
        if found and [one.domain for one in found] != self._names(host):
            _log.warning("machines of an earlier installation", host=host, reason=_sentence(found))
        self._by_host[host] = (network.name, found)

    def on(self, host: str) -> bool:
        """Return whether a host has any."""
        return bool(self._names(host))

    def addresses(self, network: str) -> set[int]:
        """Return the numbers of the addresses that they have on a network: nobody else gets them."""
        return {
            one.index
            for name, found in self._by_host.values()
            if name == network
            for one in found
            if one.index is not None
        }

    def health(self) -> list[ComponentHealth]:
        """Say of which hosts they are a burden."""
        return [
            ComponentHealth(name=f"strangers/{host}", status="degraded", detail=_sentence(found))
            for host, (_, found) in sorted(self._by_host.items())
            if found
        ]

    def _names(self, host: str) -> list[str]:
        return [one.domain for one in self._by_host.get(host, ("", []))[1]]


def _sentence(found: list[Stranger]) -> str:
    names = ", ".join(one.domain for one in found[:5]) + (" …" if len(found) > 5 else "")  # noqa: PLR2004
    return (
        f"{len(found)} machines are of an earlier installation with the same names, whose state was deleted "
        f"({names}). Put its hub_id back into the state folder and they are found again, or remove them, "
        "homes included, with make clean. Until then they keep their addresses."
    )
