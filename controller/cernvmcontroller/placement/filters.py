"""Filters: each says of one host why it cannot take a machine, or nothing where it can.

The order matters for the explanation only: a host is counted under the first rule that excludes it.
"""

from __future__ import annotations

from collections.abc import Callable

from cernvmapi.models import Level
from cernvmcontroller.placement.candidate import Candidate, Wish, includes

Filter = Callable[[Candidate, Wish], str | None]
"""Returns the reason for which the host is excluded, None where it passes."""


def requested(host: Candidate, wish: Wish) -> str | None:
    """Only the host that was asked for, by id or name."""
    if wish.host is None or wish.host in (host.id, host.name):
        return None
    return "is not the host that was asked for"


def cluster(host: Candidate, wish: Wish) -> str | None:
    """Only hosts of the cluster that was asked for."""
    if wish.cluster and wish.cluster not in host.clusters:
        return f"is not in the cluster {wish.cluster}"
    return None


def labels(host: Candidate, wish: Wish) -> str | None:
    """Only hosts with the labels that were asked for."""
    for key, value in wish.labels.items():
        if host.labels.get(key) != value:
            return f"is not labelled {key}={value}"
    return None


def alive(host: Candidate, _wish: Wish) -> str | None:
    """No host that does not answer."""
    return None if host.alive else "does not answer"


def maintenance(host: Candidate, _wish: Wish) -> str | None:
    """No host that an administrator has taken out of service."""
    return "is in maintenance" if host.maintenance else None


def level(host: Candidate, wish: Wish) -> str | None:
    """No host whose hypervisor cannot do what the machine needs."""
    needed = Level.NOTEBOOK if wish.notebook else Level.PROVISION
    if includes(host.level, needed):
        return None
    return f"may be used for {host.level.value} only, {needed.value} is needed"


def arch(host: Candidate, wish: Wish) -> str | None:
    """Only hosts whose processors run the appliance, and of the architecture that was asked for."""
    if wish.arch != host.arch and wish.arch not in _ALSO_RUNS.get(host.arch, ()):
        return f"is {host.arch}, the appliance needs {wish.arch}"
    if wish.host_arch not in (None, host.arch):
        return f"is {host.arch}, {wish.host_arch} was asked for"
    return None


def cpu(host: Candidate, wish: Wish) -> str | None:
    """Only hosts whose processors have the features that were asked for."""
    missing = sorted(wish.cpu_features - host.cpu_features)
    return f"has no processors with {', '.join(missing)}" if missing else None


def network(host: Candidate, wish: Wish) -> str | None:
    """Only hosts with the machines' network; for a notebook, the hub has to reach it."""
    if host.addresses_free is None:
        return "has no network for machines"
    if wish.network not in (None, host.network):
        return f"is not in the network {wish.network}, in which the machine has its address"
    return "has a network that the hub does not reach" if wish.notebook and not host.reached else None


def home(host: Candidate, wish: Wish) -> str | None:
    """Only hosts that reach the home volume."""
    if wish.home_hosts is None or host.id in wish.home_hosts:
        return None
    return "does not reach the home volume"


def apart(host: Candidate, wish: Wish) -> str | None:
    """No host that has a machine of the same group, where its machines shall be apart."""
    return "has a machine of the same group" if host.id in wish.away_from else None


def leaving(host: Candidate, wish: Wish) -> str | None:
    """No host that a machine shall leave."""
    return "is where the machine is" if host.id == wish.leaves else None


def acceleration(host: Candidate, wish: Wish) -> str | None:
    """Want a machine that shall not stop to go on as it runs: under KVM, or emulated."""
    if wish.acceleration in (None, host.acceleration):
        return None
    return f"runs machines under {host.acceleration or 'what is not known yet'}, this one {wish.acceleration}"


def processors(host: Candidate, wish: Wish) -> str | None:
    """Vcpus within what the host may promise, and never more for one machine than the host has."""
    if wish.vcpus > host.vcpus:
        return f"has {host.vcpus} processors, {wish.vcpus} are needed"
    free = int(host.vcpus * wish.overcommit.vcpus) - host.vcpus_promised
    return (
        None if wish.vcpus <= free else f"has {max(free, 0)} vCPUs left to promise, {wish.vcpus} are needed"
    )


def memory(host: Candidate, wish: Wish) -> str | None:
    """Memory within what the host may promise."""
    free = int(host.memory_mib * wish.overcommit.memory) - host.memory_promised_mib
    if wish.memory_mib <= free:
        return None
    return f"has {max(free, 0)} MiB of memory left to promise, {wish.memory_mib} MiB are needed"


def storage(host: Candidate, wish: Wish) -> str | None:
    """Want some room in the pool: overlays are thin, so only a machine's beginning must fit, and its home."""
    if host.disk_free_mib is None or host.disk_free_mib >= _DISK_RESERVE_MIB + wish.brings_mib:
        return None
    home = f", {wish.brings_mib} MiB of home would come" if wish.brings_mib else ""
    left = f"has {host.disk_free_mib} MiB left in its storage pool"
    return f"{left}, {_DISK_RESERVE_MIB} MiB are kept free{home}"


def address(host: Candidate, wish: Wish) -> str | None:
    """Want a free address in the host's network."""
    return None if wish.keeps_address or host.addresses_free else "has no free address in its network"


_DISK_RESERVE_MIB = 1024
_ALSO_RUNS = {"x86_64": ("i686",), "aarch64": ("armv7l",)}
"""Architectures that a host runs beside its own, in libvirt's names."""

FILTERS: tuple[Filter, ...] = (
    requested,
    cluster,
    labels,
    alive,
    maintenance,
    level,
    arch,
    cpu,
    network,
    home,
    apart,
    leaving,
    acceleration,
    processors,
    memory,
    storage,
    address,
)
