"""How a site wants its machines placed: which filters, which weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from cernvmapi.errors import Invalid
from cernvmcontroller.placement.filters import FILTERS, Filter
from cernvmcontroller.placement.weighers import WEIGHERS, Weigher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cernvmcontroller.placement.candidate import Candidate, Wish

_FREE = ("free_memory", "free_processors")
"""Weighers that spread; with their signs turned round they pack."""


@dataclass(frozen=True)
class Policy:
    """Filters in their order, and weighers with their weights."""

    filters: tuple[Filter, ...] = FILTERS
    weights: tuple[tuple[float, Weigher], ...] = WEIGHERS

    @classmethod
    def of(
        cls, filters: Sequence[Any] = (), weights: Mapping[str, float] | None = None, *, pack: bool
    ) -> Self:
        """Return the policy that a configuration describes.

        Parameters
        ----------
        filters
            Names of filters, and filters of the site's own; empty for all of ours.
        weights
            By the weighers' names, where they differ from the defaults; 0 leaves one out.
        pack
            Fill one host after the other instead of spreading.

        Raises
        ------
        Invalid
            There is no filter or weigher of that name.
        """
        known = {each.__name__: each for each in FILTERS}
        chosen = [each if callable(each) else _known("filter", known, each) for each in filters]
        turned = {
            weigher.__name__: -weight if pack and weigher.__name__ in _FREE else weight
            for weight, weigher in WEIGHERS
        }
        for name in weights or {}:
            _known("weigher", turned, name)
        turned |= weights or {}
        return cls(
            tuple(chosen) or FILTERS, tuple((turned[weigher.__name__], weigher) for _, weigher in WEIGHERS)
        )

    def weigh(self, host: Candidate, wish: Wish) -> dict[str, float]:
        """Return what each weigher adds for a host; the sum orders the hosts."""
        return {
            weigher.__name__: round(weight * weigher(host, wish), 4)
            for weight, weigher in self.weights
            if weight
        }


def _known(what: str, known: Mapping[str, Any], name: Any) -> Any:
    try:
        return known[name]
    except (KeyError, TypeError):
        raise Invalid(f"There is no {what} {name!r} of placement; there are {', '.join(known)}.") from None
