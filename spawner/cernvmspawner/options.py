"""What a person may choose for a server, and whether a choice is valid: pure functions, no requests.

The options page, a link and the hub's REST API all end in `user_options`, a dictionary that anybody who may
start a server can send. So everything in it is checked here, on the server, and nothing is taken from it that
is not declared. ``{}`` is valid and means the defaults.

========================== ==================================================================================
``profile``                slug of one of the site's profiles
``<option>``               the key of one of the choices of an option of that profile
``<option>--unlisted-choice``  a value of one's own, where the option allows it
``appliance``              id of an appliance
``flavor``                 id of a flavor
``vcpus``, ``memory_mib``  a size of one's own instead of the flavor's, where the site allows it
========================== ==================================================================================

Where there are profiles, they decide on the appliance and the size, and the last three rows are refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cernvmapi.errors import Invalid
from cernvmspawner.profiles import Profile, chosen_overrides

if TYPE_CHECKING:
    from cernvmapi.models import Appliance, Flavor

APPLIANCE, FLAVOR, PROFILE, VCPUS, MEMORY = "appliance", "flavor", "profile", "vcpus", "memory_mib"

PROFILE_OPTION = "profile-option-"
"""Prefix of form fields that belong to a profile's option, as KubeSpawner names them."""


@dataclass(frozen=True)
class Offer:
    """What there is to choose from.

    Parameters
    ----------
    appliances, flavors
        As the controller lists them.
    profiles
        The site's own; empty for a free choice of appliance and flavor.
    max_vcpus, max_memory_mib
        Largest size of one's own; 0: none is offered.
    appliance, flavor
        Ids of the defaults; None: the controller's.
    hidden
        Whether a hidden appliance may be chosen by its id: by administrators.
    kept
        Ids of the appliances that the server's machine already has: hidden meanwhile, they stay to be chosen.
    """

    appliances: Sequence[Appliance]
    flavors: Sequence[Flavor]
    profiles: Sequence[Profile] = ()
    max_vcpus: int = 0
    max_memory_mib: int = 0
    appliance: str | None = None
    flavor: str | None = None
    hidden: bool = False
    kept: frozenset[str] = frozenset()

    def visible_appliances(self) -> list[Appliance]:
        """Return the appliances for the page: those that can serve a notebook and are not hidden, or kept."""
        return [one for one in self.appliances if one.notebook and (not one.hidden or one.id in self.kept)]

    def appliances_to_choose(self) -> list[Appliance]:
        """Return the appliances that may be named."""
        return [one for one in self.appliances if one.notebook] if self.hidden else self.visible_appliances()

    def default_appliance(self) -> Appliance | None:
        """Return what a choice without an appliance gets, if it is known."""
        usable = [one for one in self.appliances if one.notebook]
        if self.appliance:
            return next((one for one in usable if one.id == self.appliance), None)
        return next((one for one in usable if one.default), None)

    def default_flavor(self) -> Flavor | None:
        """Return what a choice without a flavor gets, if it is known."""
        if self.flavor:
            return next((one for one in self.flavors if one.id == self.flavor), None)
        return next((one for one in self.flavors if one.default), None)


@dataclass(frozen=True)
class Choice:
    """A valid choice; None where the default is meant."""

    appliance: str | None = None
    flavor: str | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    profile: str | None = None
    overrides: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """What the profile and its options set on the spawner, in their order."""


def check(user_options: Mapping[str, Any], offer: Offer) -> Choice:
    """Return the choice that `user_options` make.

    Raises
    ------
    Invalid
        With one sentence for everything that is wrong, each with what to do instead.
    """
    faults: dict[str, str] = {}
    if not isinstance(user_options, Mapping):
        raise Invalid("The server options must be an object with names and values.")
    choice = (_of_profile if offer.profiles else _of_free_choice)(user_options, offer, faults)
    if faults:
        raise Invalid(
            " ".join(faults.values()),
            errors=[{"field": name, "detail": detail} for name, detail in faults.items()],
        )
    return choice


def _of_profile(options: Mapping[str, Any], offer: Offer, faults: dict[str, str]) -> Choice:
    slug = options.get(PROFILE)
    profile = next((one for one in offer.profiles if one.slug == slug), None)
    if slug in (None, ""):
        profile = next((one for one in offer.profiles if one.default), offer.profiles[0])
    if profile is None:
        known = [one.slug for one in offer.profiles]
        faults[PROFILE] = f"There is no profile {_shown(slug)}{_instead(slug, known)}"
        return Choice()
    rest = {name: value for name, value in options.items() if name != PROFILE}
    overrides, wrong = chosen_overrides(profile, rest)
    faults.update(wrong)
    return Choice(profile=profile.slug, overrides=tuple(overrides))


def _of_free_choice(options: Mapping[str, Any], offer: Offer, faults: dict[str, str]) -> Choice:
    known = {APPLIANCE, FLAVOR, VCPUS, MEMORY}
    for name in options:
        if name not in known:
            faults[str(name)] = f"There is no option {_shown(name)}{_instead(name, sorted(known))}"
    appliance = _one_of(options, APPLIANCE, {one.id: one for one in offer.appliances_to_choose()}, faults)
    flavor = _one_of(options, FLAVOR, {one.id: one for one in offer.flavors}, faults)
    vcpus = _size(options, VCPUS, offer.max_vcpus, "vCPUs", faults)
    memory = _size(options, MEMORY, offer.max_memory_mib, "MiB of memory", faults)
    if not faults:
        _fits(appliance or offer.default_appliance(), flavor or offer.default_flavor(), vcpus, memory, faults)
    return Choice(
        appliance=appliance.id if appliance else None,
        flavor=flavor.id if flavor else None,
        vcpus=vcpus,
        memory_mib=memory,
    )


def _one_of(options: Mapping[str, Any], name: str, known: Mapping[str, Any], faults: dict[str, str]) -> Any:
    value = options.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in known:
        return known[value]
    faults[name] = f"There is no {name} {_shown(value)}{_instead(value, list(known))}"
    return None


def _size(
    options: Mapping[str, Any], name: str, largest: int, unit: str, faults: dict[str, str]
) -> int | None:
    value = options.get(name)
    if value is None or value == "":
        return None
    if not largest:
        faults[name] = f"This hub does not offer sizes of one's own ({name}): choose a flavor."
        return None
    smallest = 1 if name == VCPUS else 64
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len("1000000000"):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        faults[name] = f"{name} must be a whole number from {smallest} to {largest} ({unit})."
        return None
    return value


def _fits(
    appliance: Appliance | None,
    flavor: Flavor | None,
    vcpus: int | None,
    memory: int | None,
    faults: dict[str, str],
) -> None:
    """Say when the machine would be too small for what shall run in it."""
    if appliance is None:
        return
    memory = memory or (flavor.memory_mib if flavor else None)
    vcpus = vcpus or (flavor.vcpus if flavor else None)
    if memory is not None and memory < appliance.min_memory_mib:
        faults[FLAVOR] = (
            f"{appliance.title} needs at least {appliance.min_memory_mib} MiB of memory, "
            f"and this size has {memory} MiB: choose a larger one."
        )
    elif vcpus is not None and vcpus < appliance.min_vcpus:
        faults[FLAVOR] = (
            f"{appliance.title} needs at least {appliance.min_vcpus} vCPUs, "
            f"and this size has {vcpus}: choose a larger one."
        )


def from_form(form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return `user_options` from the fields of the options page, each of which is a list of strings.

    Fields of profiles that are not chosen, and empty ones, are left out; unknown ones are kept, to be refused
    by `check`.
    """
    options: dict[str, Any] = {}
    profile = next(iter(form.get(PROFILE, ())), "")
    for name, values in form.items():
        value: Any = values[0] if len(values) == 1 else list(values)
        if value in ("", []):
            continue
        if name.startswith(PROFILE_OPTION):
            prefix = f"{PROFILE_OPTION}{profile}--"
            if name.startswith(prefix):
                options[name.removeprefix(prefix)] = value
            continue
        if name in (VCPUS, MEMORY) and isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:12])
        options[name] = value
    return options


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"“{text[:80]}”"


def _instead(value: Any, known: Sequence[str]) -> str:
    if not known:
        return ", and none is offered at the moment."
    close = difflib.get_close_matches(str(value)[:80], known, n=1)
    return f"; did you mean {close[0]}?" if close else f": choose one of {', '.join(known[:20])}."
