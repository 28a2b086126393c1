"""Placement: pure, deterministic, and it explains itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cernvmapi.errors import Invalid, NoRoom
from cernvmapi.models import Level
from cernvmcontroller.placement import Candidate, Overcommit, Policy, Wish, choose, rank

HOST = Candidate(
    id="a",
    name="a",
    level=Level.NOTEBOOK,
    alive=True,
    arch="x86_64",
    vcpus=8,
    memory_mib=16384,
    addresses_free=10,
    acceleration="kvm",
    disk_free_mib=100_000,
)
WISH = Wish(vcpus=2, memory_mib=2048, disk_mib=10240, notebook=True, base="b")


def host(name: str, **changes: object) -> Candidate:
    return replace(HOST, id=name, name=name, **changes)


def test_the_emptiest_host_wins():
    assert choose([host("a", memory_promised_mib=8192), host("b")], WISH).hosts[0].name == "b"


def test_equal_hosts_are_chosen_in_the_same_order_every_time():
    assert choose([host("b"), host("a")], WISH).hosts[0].name == "a"


def test_a_host_with_the_base_is_preferred():
    assert choose([host("a"), host("z", bases=frozenset({"b"}))], WISH).hosts[0].name == "z"


def test_kvm_is_preferred_over_emulation_even_when_fuller():
    kvm = host("z", memory_promised_mib=12000, vcpus_promised=20)
    assert choose([host("a", acceleration="qemu"), kvm], WISH).hosts[0].name == "z"


@pytest.mark.parametrize(
    ("rule", "changes", "wish"),
    [
        ("requested", {}, {"host": "b"}),
        ("cluster", {}, {"cluster": "physics"}),
        ("labels", {"labels": {"rack": "2"}}, {"labels": {"rack": "1"}}),
        ("alive", {"alive": False}, {}),
        ("maintenance", {"maintenance": True}, {}),
        ("level", {"level": Level.PROVISION}, {}),
        ("arch", {"arch": "aarch64"}, {}),
        ("arch", {}, {"host_arch": "aarch64"}),
        ("cpu", {"cpu_features": frozenset({"sse2"})}, {"cpu_features": frozenset({"sse2", "avx2"})}),
        ("network", {"reached": False}, {}),
        ("apart", {}, {"away_from": frozenset({"a"})}),
        ("home", {}, {"home_hosts": frozenset({"b"})}),
        ("processors", {}, {"vcpus": 9}),
        ("processors", {"vcpus_promised": 31}, {}),
        ("memory", {"memory_promised_mib": 15000}, {}),
        ("storage", {"disk_free_mib": 10}, {}),
        ("address", {"addresses_free": 0}, {}),
    ],
)
def test_each_filter_excludes_and_says_so(rule, changes, wish):
    hosts, wanted = [host("a", **changes)], replace(WISH, **wish)
    assert rank(hosts, wanted).excluded[0][0] == rule
    with pytest.raises(NoRoom, match="a ") as refused:
        choose(hosts, wanted)
    assert refused.value.errors[0]["filter"] == rule
    assert refused.value.errors[0]["host"] == "a"


def test_overcommit_lets_more_be_promised():
    full = host("a", memory_promised_mib=16384)
    assert not rank([full], WISH).hosts
    assert rank([full], replace(WISH, overcommit=Overcommit(memory=1.5))).hosts


def test_a_machine_with_an_address_needs_no_free_one():
    assert rank([host("a", addresses_free=0)], replace(WISH, keeps_address=True)).hosts


def test_a_hub_without_hosts_says_so():
    with pytest.raises(NoRoom, match="none yet"):
        choose([], WISH)


def test_a_long_refusal_is_cut():
    with pytest.raises(NoRoom, match="and 15 more hosts") as refused:
        choose([host(f"h{n:02}", alive=False) for n in range(20)], WISH)
    assert len(refused.value.errors) == 20


@pytest.mark.parametrize("asked", ["h1", "Rack 1"])
def test_one_host_is_asked_for_by_its_id_or_its_name(asked):
    named = replace(HOST, id="h1", name="Rack 1")
    assert choose([host("a"), named], replace(WISH, host=asked)).hosts == (named,)


def test_an_older_architecture_runs_on_a_newer_processor():
    assert rank([HOST], replace(WISH, arch="i686")).hosts
    assert not rank([replace(HOST, arch="i686")], WISH).hosts
    assert not rank([HOST], replace(WISH, arch="i686", host_arch="i686")).hosts


def test_a_machine_without_a_notebook_needs_no_hub_on_its_network():
    away = host("a", reached=False)
    assert rank([away], replace(WISH, notebook=False)).hosts
    assert rank([away], WISH).excluded[0][2] == "has a network that the hub does not reach"


def test_a_site_packs_its_machines():
    full, empty = host("z", memory_promised_mib=8192, vcpus_promised=8), host("a")
    assert choose([full, empty], WISH, Policy.of(pack=True)).hosts[0] is full
    assert choose([full, empty], WISH, Policy.of(pack=False)).hosts[0] is empty
    turned = Policy.of(weights={"free_memory": -2.0, "free_processors": 0}, pack=False)
    choice = choose([full, empty], WISH, turned)
    assert choice.hosts[0] is full
    assert choice.weights[0] == {"accelerated": 10.0, "free_memory": -1.0, "base_present": 0.0}


def test_a_site_has_rules_of_its_own():
    def friday(candidate, _wish):
        return None if candidate.name == "b" else "rests on Fridays"

    policy = Policy.of(filters=["alive", friday], pack=False)
    choice = rank([host("a"), host("b", maintenance=True), host("c", alive=False)], WISH, policy)
    assert [each.name for each in choice.hosts] == ["b"]
    assert [(rule, each.name) for rule, each, _ in choice.excluded] == [("friday", "a"), ("alive", "c")]


@pytest.mark.parametrize(
    "wrong", [{"filters": ["alife"]}, {"weights": {"memory": 1}}, {"filters": [["alive"]]}]
)
def test_rules_that_there_are_not_are_refused(wrong):
    with pytest.raises(Invalid, match=r"no (filter|weigher) .* of placement; there are"):
        Policy.of(**wrong, pack=False)


def test_a_refusal_says_what_to_do():
    for changes, wish, advice in (
        ({"memory_promised_mib": 16000}, {}, "Choose a smaller flavor"),
        ({}, {"labels": {"gpu": "yes"}}, "Ask for less of a host"),
        ({"alive": False}, {}, "Try again later, or ask an administrator"),
    ):
        with pytest.raises(NoRoom, match=advice):
            choose([host("a", **changes)], replace(WISH, **wish))
