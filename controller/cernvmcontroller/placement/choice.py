"""Filter, weigh, choose; and where nothing is left, say which rule excluded which hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmapi.errors import NoRoom
from cernvmcontroller.placement.filters import FILTERS
from cernvmcontroller.placement.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.placement.candidate import Candidate, Wish


@dataclass(frozen=True)
class Choice:
    """The hosts that can take a machine, best first, and why the others cannot."""

    hosts: tuple[Candidate, ...]
    weights: tuple[dict[str, float], ...]
    """What each weigher gave each of them."""
    excluded: tuple[tuple[str, Candidate, str], ...]
    """Name of the rule, host, reason."""


_DEFAULT = Policy()


def rank(hosts: Sequence[Candidate], wish: Wish, policy: Policy = _DEFAULT) -> Choice:
    """Return the hosts that pass every filter, best first.

    Hosts of equal weight are ordered by how many machines they run and then by name, so that the same
    knowledge gives the same choice.
    """
    passed: list[tuple[Candidate, dict[str, float]]] = []
    excluded: list[tuple[str, Candidate, str]] = []
    for host in hosts:
        for rule in policy.filters:
            reason = rule(host, wish)
            if reason is not None:
                excluded.append((rule.__name__, host, reason))
                break
        else:
            passed.append((host, policy.weigh(host, wish)))
    passed.sort(key=lambda each: (-sum(each[1].values()), each[0].machines, each[0].name))
    return Choice(tuple(host for host, _ in passed), tuple(weights for _, weights in passed), tuple(excluded))


def choose(hosts: Sequence[Candidate], wish: Wish, policy: Policy = _DEFAULT) -> Choice:
    """Return the choice, whose first host is the best one.

    Raises
    ------
    NoRoom
        No host passes; the detail names each rule with the hosts that it excluded.
    """
    choice = rank(hosts, wish, policy)
    if not choice.hosts:
        raise NoRoom(_refusal(choice), errors=_entries(choice))
    return choice


def _refusal(choice: Choice) -> str:
    if not choice.excluded:
        return "No host can take this machine: the hub has none yet. Ask an administrator to attach one."
    reasons = [f"{host.name} {reason}" for _, host, reason in choice.excluded[:_NAMED]]
    if len(choice.excluded) > _NAMED:
        reasons.append(f"and {len(choice.excluded) - _NAMED} more hosts")
    return f"No host can take this machine: {'; '.join(reasons)}. {_ADVICE.get(_decisive(choice), _LATER)}"


def _decisive(choice: Choice) -> str:
    """Return the rule that the hosts that came furthest failed."""
    order = [rule.__name__ for rule in FILTERS]
    return max(
        (rule for rule, _, _ in choice.excluded), key=lambda rule: order.index(rule) if rule in order else -1
    )


def _entries(choice: Choice) -> list[dict[str, object]]:
    return [
        {"filter": rule, "host": host.name, "reason": f"{host.name} {reason}"}
        for rule, host, reason in choice.excluded
    ]


_NAMED = 5
_LATER = "Try again later, or ask an administrator."
_SMALLER = "Choose a smaller flavor or try again later."
_LESS = "Ask for less of a host, or for another one."
_ADVICE = {
    **dict.fromkeys(("processors", "memory", "storage"), _SMALLER),
    **dict.fromkeys(("requested", "cluster", "labels", "arch", "cpu", "apart"), _LESS),
}
