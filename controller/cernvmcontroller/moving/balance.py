"""Which moves would spread machines more evenly over their hosts: pure, greedy, shown before it is done.

After Ganeti's hbal: of all single moves the one that evens the hosts most, again and again, until none is
worth its while (https://docs.ganeti.org/docs/ganeti/3.0/man/hbal.html).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import pstdev
from typing import TYPE_CHECKING

from cernvmcontroller.placement import Candidate, Overcommit, Policy, Wish, rank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORTH = 0.02
"""By how much a move has to lower the standard deviation of what is promised."""

MOST = 20
"""Moves that are proposed at once."""


@dataclass(frozen=True)
class Placed:
    """A machine that could be moved."""

    id: str
    name: str
    host: str
    wish: Wish
    """What it needs of another host; its vCPUs and memory count."""


@dataclass(frozen=True)
class Better:
    """A move that would make the hosts more even."""

    machine: Placed
    to: str
    before: float
    after: float


def load(host: Candidate, overcommit: Overcommit) -> float:
    """Return which part of what a host may promise is promised: of memory or vCPUs, the larger one."""
    memory = host.memory_mib * overcommit.memory
    vcpus = host.vcpus * overcommit.vcpus
    return max(
        host.memory_promised_mib / memory if memory else 0.0, host.vcpus_promised / vcpus if vcpus else 0.0
    )


def unevenness(hosts: Sequence[Candidate], overcommit: Overcommit) -> float:
    """Return the standard deviation of the loads of the hosts on which machines may be."""
    loads = [load(host, overcommit) for host in hosts if host.alive and not host.maintenance]
    return pstdev(loads) if loads else 0.0


def propose(
    hosts: Sequence[Candidate],
    machines: Sequence[Placed],
    overcommit: Overcommit,
    policy: Policy,
    *,
    most: int = MOST,
) -> list[Better]:
    """Return moves, in the order in which they should be made; each machine moves once at most."""
    now = {host.id: host for host in hosts}
    left = {machine.id: machine for machine in machines}
    found: list[Better] = []
    while len(found) < most:
        before = unevenness(list(now.values()), overcommit)
        best = _best(now, left, overcommit, policy, before)
        if best is None:
            return found
        found.append(best)
        now = _after(now, best.machine, best.to)
        del left[best.machine.id]
    return found


def _best(
    hosts: Mapping[str, Candidate],
    machines: Mapping[str, Placed],
    overcommit: Overcommit,
    policy: Policy,
    before: float,
) -> Better | None:
    best: Better | None = None
    for machine in sorted(machines.values(), key=lambda each: each.id):
        source = hosts.get(machine.host)
        if source is None:
            continue
        emptier = [host for host in hosts.values() if load(host, overcommit) < load(source, overcommit)]
        for host in rank(emptier, machine.wish, policy).hosts:
            after = unevenness(list(_after(hosts, machine, host.id).values()), overcommit)
            if before - after >= WORTH and (best is None or after < best.after):
                best = Better(machine, host.id, before, after)
    return best


def _after(hosts: Mapping[str, Candidate], machine: Placed, to: str) -> dict[str, Candidate]:
    """Return the hosts as they would be after a move."""
    moved = dict(hosts)
    for id_, sign in ((machine.host, -1), (to, 1)):
        host = moved[id_]
        moved[id_] = replace(
            host,
            vcpus_promised=host.vcpus_promised + sign * machine.wish.vcpus,
            memory_promised_mib=host.memory_promised_mib + sign * machine.wish.memory_mib,
            machines=host.machines + sign,
        )
    return moved
