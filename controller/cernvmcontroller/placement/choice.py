"""Filter, weigh, choose; and where nothing is left, say which rule excluded which hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmapi.errors import NoRoom
from cernvmcontroller.placement.filters import FILTERS, Filter
from cernvmcontroller.placement.weighers import weigh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.placement.candidate import Candidate, Wish


@dataclass(frozen=True)
class Choice:
    """The hosts that can take a machine, best first, and why the others cannot."""

    hosts: tuple[Candidate, ...]
    excluded: tuple[tuple[str, Candidate, str], ...]
    """Name of the rule, host, reason."""


def rank(hosts: Sequence[Candidate], wish: Wish, filters: Sequence[Filter] = FILTERS) -> Choice:
    """Return the hosts that pass every filter, best first.

    Hosts of equal weight are ordered by how many machines they run and then by name, so that the same
    knowledge gives the same choice.
    """
    passed: list[Candidate] = []
    excluded: list[tuple[str, Candidate, str]] = []
    for host in hosts:
        for rule in filters:
            reason = rule(host, wish)
            if reason is not None:
                excluded.append((rule.__name__, host, reason))
                break
        else:
            passed.append(host)
    passed.sort(key=lambda host: (-weigh(host, wish), host.machines, host.name))
    return Choice(tuple(passed), tuple(excluded))


def choose(hosts: Sequence[Candidate], wish: Wish) -> Candidate:
    """Return the best host.

    Raises
    ------
    NoRoom
        No host passes; the detail names each rule with the hosts that it excluded.
    """
    choice = rank(hosts, wish)
    if choice.hosts:
        return choice.hosts[0]
    raise NoRoom(_refusal(choice), errors=_entries(choice))


def _refusal(choice: Choice) -> str:
    if not choice.excluded:
        return "No host can take this machine: the hub has none yet. Ask an administrator to attach one."
    reasons = [f"{host.name} {reason}" for _, host, reason in choice.excluded[:_NAMED]]
    if len(choice.excluded) > _NAMED:
        reasons.append(f"and {len(choice.excluded) - _NAMED} more hosts")
    return f"No host can take this machine: {'; '.join(reasons)}. Choose a smaller flavor or try again later."


def _entries(choice: Choice) -> list[dict[str, object]]:
    return [
        {"filter": rule, "host": host.name, "reason": f"{host.name} {reason}"}
        for rule, host, reason in choice.excluded
    ]


_NAMED = 5
