"""Weighers: each gives a host between 0 and 1. The sum, weighted, orders the hosts.

A site turns the weights: a negative one prefers what gets less, so that free memory packs instead of
spreading.
"""

from __future__ import annotations

from collections.abc import Callable

from cernvmcontroller.placement.candidate import Candidate, Wish

Weigher = Callable[[Candidate, Wish], float]


def accelerated(host: Candidate, _wish: Wish) -> float:
    """Prefer hosts that run machines natively: emulation is ten times slower."""
    return 1.0 if host.acceleration == "kvm" else 0.0


def free_memory(host: Candidate, wish: Wish) -> float:
    """Spread by memory."""
    promise = host.memory_mib * wish.overcommit.memory
    return max(0.0, 1 - host.memory_promised_mib / promise) if promise else 0.0


def free_processors(host: Candidate, wish: Wish) -> float:
    """Spread by vCPUs."""
    promise = host.vcpus * wish.overcommit.vcpus
    return max(0.0, 1 - host.vcpus_promised / promise) if promise else 0.0


def base_present(host: Candidate, wish: Wish) -> float:
    """Prefer hosts that have the appliance already: nothing is copied."""
    return 1.0 if wish.base in host.bases else 0.0


WEIGHERS: tuple[tuple[float, Weigher], ...] = (
    (10.0, accelerated),
    (2.0, free_memory),
    (1.0, free_processors),
    (0.05, base_present),  # it is copied once, a full host stays full
)
