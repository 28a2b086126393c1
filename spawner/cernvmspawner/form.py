"""The options page: appliances and sizes as cards, with the last choice or a link's choice made already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cernvmspawner import options
from cernvmspawner.profiles import UNLISTED
from cernvmspawner.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cernvmspawner.options import Offer


def page(offer: Offer, chosen: Mapping[str, Any], *, home: bool = True) -> str:
    """Return the options page.

    Parameters
    ----------
    offer
        What there is to choose from.
    chosen
        What is chosen already, from the last start or a link; whatever in it is not offered any more is
        ignored.
    home
        Servers have a home that outlives them.
    """
    appliances = offer.visible_appliances()
    flavors = list(offer.flavors)
    profile = _preferred([one.slug for one in offer.profiles], chosen.get(options.PROFILE))
    if profile is None and offer.profiles:
        profile = next((one for one in offer.profiles if one.default), offer.profiles[0]).slug
    return render(
        "options.html",
        offer=offer,
        profiles=offer.profiles,
        home=home,
        appliances=appliances,
        flavors=flavors,
        appliance=_preferred([one.id for one in appliances], chosen.get(options.APPLIANCE))
        or _id(offer.default_appliance())
        or _id(next(iter(appliances), None)),
        flavor=_preferred([one.id for one in flavors], chosen.get(options.FLAVOR))
        or _id(offer.default_flavor())
        or _id(next(iter(flavors), None)),
        profile=profile,
        chosen=_plain(chosen),
        unlisted=UNLISTED,
        custom_size=bool(offer.max_vcpus or offer.max_memory_mib),
    )


def page_without_controller(problem: str) -> str:
    """Return what is shown when nothing is known of what there is to choose from."""
    return render("unavailable.html", problem=problem)


def _id(thing: Any) -> str | None:
    return thing.id if thing else None


def _preferred(known: list[str], value: Any) -> str | None:
    return value if isinstance(value, str) and value in known else None


def _plain(chosen: Mapping[str, Any]) -> dict[str, str]:
    """Return what of a choice can stand in a field: anything may come over the REST API."""
    return {
        str(name): str(value)
        for name, value in chosen.items()
        if isinstance(value, str | int) and not isinstance(value, bool)
    }
