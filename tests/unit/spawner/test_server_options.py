"""What a person may choose, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.spawner.standin_offer import APPLIANCES, FLAVORS

from cernvmapi.errors import Invalid
from cernvmspawner import profiles
from cernvmspawner.options import Choice, Offer, check, from_form

OFFER = Offer(APPLIANCES, FLAVORS)
ROOMY = Offer(APPLIANCES, FLAVORS, max_vcpus=8, max_memory_mib=16384)

PROFILES = profiles.read(
    [
        {"display_name": "Course", "spawner_override": {"appliance": "cernvm"}},
        {
            "display_name": "Analysis",
            "slug": "ana",
            "default": True,
            "kubespawner_override": {"environment": {"EXPERIMENT": "atlas"}},
            "profile_options": {
                "size": {
                    "display_name": "Size",
                    "choices": {
                        "s": {"display_name": "Small", "spawner_override": {"flavor": "small"}},
                        "l": {
                            "display_name": "Large",
                            "default": True,
                            "spawner_override": {"flavor": "large"},
                        },
                    },
                    "unlisted_choice": {
                        "enabled": True,
                        "display_name": "Memory",
                        "validation_regex": "[0-9]+G",
                        "validation_message": "a number with a G",
                        "spawner_override": {"mem_limit": "{value}"},
                    },
                }
            },
        },
    ]
)
WITH_PROFILES = Offer(APPLIANCES, FLAVORS, profiles=PROFILES, max_vcpus=8)


def refusal(options: Any, offer: Offer = OFFER) -> str:
    with pytest.raises(Invalid) as caught:
        check(options, offer)
    assert caught.value.errors
    return caught.value.detail


def test_no_options_mean_the_defaults() -> None:
    assert check({}, OFFER) == Choice()


def test_an_appliance_and_a_flavor_are_taken_as_chosen() -> None:
    assert check({"appliance": "cernvm-next", "flavor": "large"}, OFFER) == Choice("cernvm-next", "large")


def test_a_mistyped_name_is_answered_with_the_one_that_was_meant() -> None:
    assert refusal({"appliance": "cernvn"}) == "There is no appliance “cernvn”; did you mean cernvm?"
    assert refusal({"flavour": "small"}) == "There is no option “flavour”; did you mean flavor?"


def test_what_is_not_known_is_refused_and_all_that_is_offered_is_named() -> None:
    assert refusal({"flavor": "zzz"}) == "There is no flavor “zzz”: choose one of small, large."
    assert "appliance, flavor, memory_mib, vcpus" in refusal({"cmd": ["sh"]})


def test_every_fault_is_named_not_only_the_first() -> None:
    with pytest.raises(Invalid) as caught:
        check({"appliance": 7, "flavor": ["x"], "env": {}}, OFFER)
    assert [fault["field"] for fault in caught.value.errors] == ["env", "appliance", "flavor"]


def test_an_appliance_that_serves_no_notebook_cannot_be_chosen() -> None:
    assert "There is no appliance “tiny”" in refusal({"appliance": "tiny"})


def test_a_hidden_appliance_is_for_administrators() -> None:
    hidden = [msgspec.structs.replace(one, hidden=one.id == "cernvm-next") for one in APPLIANCES]
    chosen = {"appliance": "cernvm-next", "flavor": "large"}
    assert refusal(chosen, Offer(hidden, FLAVORS)) == (
        "There is no appliance “cernvm-next”; did you mean cernvm?"
    )
    assert "cernvm-next" not in refusal({"appliance": "zzz"}, Offer(hidden, FLAVORS))
    assert check(chosen, Offer(hidden, FLAVORS, hidden=True)).appliance == "cernvm-next"


def test_a_size_that_is_too_small_for_the_appliance_is_refused() -> None:
    assert refusal({"appliance": "cernvm-next"}) == (
        "CernVM Next needs at least 2048 MiB of memory, and this size has 1024 MiB: choose a larger one."
    )


def test_a_size_of_ones_own_is_refused_where_the_site_offers_none() -> None:
    assert "choose a flavor" in refusal({"vcpus": 2})


@pytest.mark.parametrize("value", [0, 9, -1, 2.5, True, "many", [2], "²", 10**30])
def test_a_size_of_ones_own_keeps_within_the_limits(value: Any) -> None:
    assert refusal({"vcpus": value}, ROOMY) == "vcpus must be a whole number from 1 to 8 (vCPUs)."


def test_a_size_of_ones_own_replaces_the_flavors() -> None:
    choice = check({"appliance": "cernvm-next", "memory_mib": "4096", "vcpus": 3}, ROOMY)
    assert (choice.memory_mib, choice.vcpus, choice.flavor) == (4096, 3, None)


def test_the_default_profile_is_meant_when_none_is_chosen() -> None:
    choice = check({}, WITH_PROFILES)
    assert choice.profile == "ana"
    assert list(choice.overrides) == [{"environment": {"EXPERIMENT": "atlas"}}, {"flavor": "large"}]


def test_an_option_of_a_profile_is_taken_as_chosen() -> None:
    assert {"flavor": "small"} in check({"profile": "ana", "size": "s"}, WITH_PROFILES).overrides


def test_a_value_of_ones_own_goes_where_the_profile_says() -> None:
    choice = check({"profile": "ana", "size--unlisted-choice": "6G"}, WITH_PROFILES)
    assert {"mem_limit": "6G"} in choice.overrides


@pytest.mark.parametrize("value", ["6", "6G; rm", "6G\n", 6, "9" * 2000 + "G"])
def test_a_value_of_ones_own_is_checked_as_a_whole(value: Any) -> None:
    assert refusal({"profile": "ana", "size--unlisted-choice": value}, WITH_PROFILES) == (
        "Size: Memory must be a number with a G."
    )


def test_a_profile_cannot_be_evaded() -> None:
    assert "has no option “appliance”" in refusal({"appliance": "cernvm-next"}, WITH_PROFILES)
    assert "There is no profile “x”" in refusal({"profile": "x"}, WITH_PROFILES)
    assert "There is no profile" in refusal({"profile": ["ana"]}, WITH_PROFILES)


def test_the_administrator_is_told_what_is_wrong_with_a_profile() -> None:
    with pytest.raises(Invalid, match="several profiles with the slug a"):
        profiles.read([{"slug": "a"}, {"display_name": "A"}])
    with pytest.raises(Invalid, match="neither"):
        profiles.read([{"description": "nameless"}])


def test_the_page_sends_only_what_belongs_to_the_chosen_profile() -> None:
    form = {
        "profile": ["ana"],
        "profile-option-ana--size": ["s"],
        "profile-option-course--level": ["2"],
        "vcpus": [""],
    }
    assert from_form(form) == {"profile": "ana", "size": "s"}


def test_numbers_of_the_page_are_numbers_for_the_rest_api() -> None:
    assert from_form({"vcpus": ["4"], "memory_mib": ["x"]}) == {"vcpus": 4, "memory_mib": "x"}


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["profile", "appliance", "flavor", "vcpus", "memory_mib", "size", "size--unlisted-choice"]
)


@given(st.dictionaries(names | st.text(max_size=10), json, max_size=4))
def test_whatever_is_sent_is_a_valid_choice_or_a_clear_refusal(options: dict[str, Any]) -> None:
    for offer in (OFFER, ROOMY, WITH_PROFILES, Offer([], [])):
        try:
            assert isinstance(check(options, offer), Choice)
        except Invalid as error:
            refusal = error.detail
            assert refusal.endswith((".", "?"))
