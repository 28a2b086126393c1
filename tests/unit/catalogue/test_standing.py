"""What the list says of an entry beyond what its feed does, and when a feed is read next."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cernvmapi.models import Appliance, Enclosure, Entry
from cernvmcontroller.catalogue.schedule import next_check
from cernvmcontroller.catalogue.standing import compared, expiring, version_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "ab" * 32


def appliance(version="1.0", sha256="0" * 64, **more):
    fields = {"id": "cernvm", "title": "CernVM", "size": 1, "virtual_size_mib": 1, "updated": NOW, **more}
    return Appliance(version=version, sha256=sha256, **fields)


def standing(*appliances, signed=False, **fields):
    given = {"guid": "g", "title": "cernvm", "version": "2.0", **fields}
    return compared(
        "e", Entry(**given), feed="f", feed_title="F", signed=signed, appliances=appliances, now=NOW
    )


def test_an_image_that_is_here_is_known_by_its_digest():
    enclosure = Enclosure(url="https://e.test/i", length=9, checksums={"sha256": DIGEST})
    found = standing(appliance("2.0", DIGEST), enclosures=[enclosure])
    assert (found.downloaded, found.newer, found.size) == ("cernvm", False, 9)
    assert standing(appliance("2.0"), enclosures=[enclosure]).downloaded is None


@pytest.mark.parametrize(
    ("here", "offered", "newer"),
    [
        (["1.0"], "2.0", True), (["1.0", "3.0"], "2.0", False), (["2.0"], "2.0", False), ([], "2.0", False),
        (["1.9"], "1.10", True), (["2.0-rc1"], "2.0", True), (["1.0"], "", False),
    ],
)  # fmt: skip
def test_newer_is_what_the_repository_has_in_older_versions_only(here, offered, newer):
    assert standing(*map(appliance, here), version=offered).newer is newer


def test_an_appliance_is_the_same_by_its_id_or_by_its_title():
    assert standing(appliance(title="Other"), appliance="cernvm").newer
    assert standing(appliance(id="x", title="CERNVM")).newer
    assert not standing(appliance(id="x", title="Other")).newer


def test_what_expired_and_what_was_signed_is_marked():
    assert standing(expires=NOW).expired
    assert not standing(expires=NOW + timedelta(days=1)).expired
    assert standing(signed=True).verified
    entry = Entry(guid="g", title="t", expires=NOW)
    assert expiring(entry, NOW - timedelta(days=1)).expires == NOW - timedelta(days=1)
    assert expiring(entry, NOW + timedelta(days=1)).expires == NOW
    assert expiring(entry, None).expires == NOW


def test_versions_are_in_the_order_that_people_expect():
    order = ["1.0-alpha", "1.0-rc1", "1.0-rc2", "1.0", "1.0.1", "1.2", "1.10", "2020.07-1", "2021.05-1"]
    assert all(version_key(before) < version_key(after) for before, after in pairwise(order))


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_versions_can_be_compared(one, two):
    assert (version_key(one) < version_key(two)) + (version_key(two) < version_key(one)) <= 1


@given(st.integers(300, 10**6), st.integers(0, 10**4), st.floats(0, 1))
def test_a_feed_that_fails_is_asked_less_and_less_but_no_less_than_it_should(interval, failures, chance):
    pause = (next_check(NOW, interval, failures, chance) - NOW).total_seconds()
    assert 100 <= pause <= interval * 1.1 + 1
    if not failures:
        assert pause >= interval * 0.9 - 1


def test_pauses_grow_with_failures():
    pauses = [(next_check(NOW, 3600, failures, 0.5) - NOW).total_seconds() for failures in range(1, 9)]
    assert pauses == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
