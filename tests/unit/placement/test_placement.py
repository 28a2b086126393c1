"""Placement: pure, deterministic, and it explains itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cernvmapi.errors import NoRoom
from cernvmapi.models import Level
from cernvmcontroller.placement import Candidate, Overcommit, Wish, choose, rank

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
    assert choose([host("a", memory_promised_mib=8192), host("b")], WISH).name == "b"


def test_equal_hosts_are_chosen_in_the_same_order_every_time():
    assert choose([host("b"), host("a")], WISH).name == "a"


def test_a_host_with_the_base_is_preferred():
    assert choose([host("a"), host("z", bases=frozenset({"b"}))], WISH).name == "z"


def test_kvm_is_preferred_over_emulation_even_when_fuller():
    kvm = host("z", memory_promised_mib=12000, vcpus_promised=20)
    assert choose([host("a", acceleration="qemu"), kvm], WISH).name == "z"


@pytest.mark.parametrize(
    ("rule", "changes", "wish"),
    [
        ("requested", {}, {"host": "b"}),
        ("cluster", {}, {"cluster": "physics"}),
        ("alive", {"alive": False}, {}),
        ("maintenance", {"maintenance": True}, {}),
        ("level", {"level": Level.PROVISION}, {}),
        ("arch", {"arch": "aarch64"}, {}),
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
