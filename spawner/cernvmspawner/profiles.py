"""The site's profiles: `profile_list` as KubeSpawner's users know it, read once and checked.

A profile is a dictionary::

    {
        "display_name": "Data analysis",
        "slug": "analysis",                      # default: made from the display name
        "description": "Four cores for ROOT and friends",
        "default": True,
        "spawner_override": {"appliance": "cernvm", "flavor": "large"},
        "profile_options": {
            "size": {
                "display_name": "Size",
                "choices": {
                    "s": {"display_name": "Small", "default": True, "spawner_override": {"flavor": "small"}},
                    "l": {"display_name": "Large", "spawner_override": {"flavor": "large"}},
                },
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Memory",
                    "validation_regex": "^[0-9]+G$",
                    "validation_message": "a number with a G, such as 6G",
                    "spawner_override": {"mem_limit": "{value}"},
                },
            },
        },
    }

``kubespawner_override`` is read in place of ``spawner_override``, so that a list can be brought along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cernvmapi.errors import Invalid

UNLISTED = "--unlisted-choice"
LONGEST_VALUE = 1000
"""Characters of a value of one's own."""


@dataclass(frozen=True)
class OptionChoice:
    """One of the values of an option."""

    key: str
    title: str
    default: bool = False
    override: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UnlistedChoice:
    """How a value of one's own is asked for and checked."""

    title: str
    title_in_choices: str
    pattern: str
    message: str
    override: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProfileOption:
    """Something to choose within a profile."""

    key: str
    title: str
    choices: tuple[OptionChoice, ...]
    unlisted: UnlistedChoice | None = None

    def default(self) -> OptionChoice | None:
        """Return the choice that is meant when none is made."""
        return next((one for one in self.choices if one.default), next(iter(self.choices), None))


@dataclass(frozen=True)
class Profile:
    """A ready-made choice."""

    slug: str
    title: str
    description: str = ""
    default: bool = False
    override: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[ProfileOption, ...] = ()


def read(profile_list: Sequence[Mapping[str, Any]]) -> list[Profile]:
    """Return the profiles of the configuration.

    Raises
    ------
    Invalid
        If an entry cannot be used; the sentence is for the administrator.
    """
    profiles = [_profile(entry) for entry in profile_list]
    slugs = [one.slug for one in profiles]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise Invalid(f"profile_list has several profiles with the slug {slug}; give each its own.")
    return profiles


def _profile(entry: Mapping[str, Any]) -> Profile:
    title = str(entry.get("display_name") or entry.get("slug") or "")
    if not title:
        raise Invalid("A profile in profile_list has neither a display_name nor a slug.")
    slug = str(entry.get("slug") or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"))
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", slug):
        raise Invalid(f"The profile {title} needs a slug of letters, digits and hyphens.")
    return Profile(
        slug=slug,
        title=title,
        description=str(entry.get("description") or ""),
        default=bool(entry.get("default")),
        override=_override(entry),
        options=tuple(_option(key, one) for key, one in (entry.get("profile_options") or {}).items()),
    )


def _option(key: str, entry: Mapping[str, Any]) -> ProfileOption:
    unlisted = entry.get("unlisted_choice") or {}
    return ProfileOption(
        key=key,
        title=str(entry.get("display_name") or key),
        choices=tuple(
            OptionChoice(
                key=name,
                title=str(choice.get("display_name") or name),
                default=bool(choice.get("default")),
                override=_override(choice),
            )
            for name, choice in (entry.get("choices") or {}).items()
        ),
        unlisted=UnlistedChoice(
            title=str(unlisted.get("display_name") or "A value of your own"),
            title_in_choices=str(unlisted.get("display_name_in_choices") or "Other…"),
            pattern=str(unlisted.get("validation_regex") or ""),
            message=str(unlisted.get("validation_message") or ""),
            override=_override(unlisted),
        )
        if unlisted.get("enabled")
        else None,
    )


def _override(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    override = entry.get("spawner_override", entry.get("kubespawner_override")) or {}
    if not isinstance(override, Mapping):
        raise Invalid("spawner_override in profile_list must be a dictionary of spawner settings.")
    return override


def chosen_overrides(
    profile: Profile, chosen: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """Return what a choice within a profile sets, and what is wrong with the choice by option."""
    overrides: list[Mapping[str, Any]] = [profile.override]
    faults: dict[str, str] = {}
    known = {name for one in profile.options for name in (one.key, one.key + UNLISTED)}
    for name in chosen:
        if name not in known:
            faults[str(name)] = f"The profile {profile.title} has no option “{str(name)[:80]}”" + (
                f": it has {', '.join(one.key for one in profile.options)}." if profile.options else "."
            )
    for option in profile.options:
        own = chosen.get(option.key + UNLISTED)
        if option.unlisted and own not in (None, ""):
            override, fault = _own_value(option, option.unlisted, own)
        else:
            override, fault = _listed_value(option, chosen.get(option.key))
        overrides.append(override)
        if fault:
            faults[option.key] = fault
    return [one for one in overrides if one], faults


def _listed_value(option: ProfileOption, value: Any) -> tuple[Mapping[str, Any], str]:
    # The entry that opens the field for a value of one's own, which then was left empty.
    if value in (None, "", "unlisted-choice"):
        default = option.default()
        return (default.override if default else {}), ""
    found = next((one for one in option.choices if one.key == value), None)
    if found is None:
        keys = ", ".join(one.key for one in option.choices)
        return {}, f"{option.title} cannot be “{str(value)[:80]}”: choose one of {keys}."
    return found.override, ""


def _own_value(option: ProfileOption, unlisted: UnlistedChoice, value: Any) -> tuple[Mapping[str, Any], str]:
    if (
        not isinstance(value, str)
        or len(value) > LONGEST_VALUE
        or (unlisted.pattern and not re.fullmatch(unlisted.pattern, value))
    ):
        what = unlisted.message or (f"text that fits {unlisted.pattern}" if unlisted.pattern else "text")
        return {}, f"{option.title}: {unlisted.title} must be {what}."
    return _filled(unlisted.override, value), ""


def _filled(override: Any, value: str) -> Any:
    """Put `value` where the configuration says ``{value}``; a callable gets the spawner and `value`."""
    if isinstance(override, Mapping):
        return {name: _filled(one, value) for name, one in override.items()}
    if isinstance(override, str):
        # Not str.format: a value of one's own must not be read as a format.
        return override.replace("{value}", value)
    if callable(override):
        return _bound(override, value)
    return override


def _bound(override: Callable[..., Any], value: str) -> Callable[[Any], Any]:
    return lambda spawner: override(spawner, value)
