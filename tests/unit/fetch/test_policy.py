"""Which addresses are strangers', and which URLs may be asked: decided without a server."""

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cernvmapi.errors import Invalid, SourceFailed
from cernvmcontroller.fetch import Policy
from cernvmcontroller.fetch.addresses import is_public, literal


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_strangers_are_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
        "192.0.2.1", "192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
        "::7f00:1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::",
        "2001:0:4136:e378::",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_what_is_inside_is_not_public(address):
    assert not is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_as_public_as_itself(address):
    for disguise in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"):
        assert not is_public(ip_address(disguise)) or is_public(address)


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.0x1", "1.2.3.4.5", "a.0x1", "0"]
)
def test_addresses_in_unusual_notations_are_refused(host):
    with pytest.raises(ValueError, match=r".*"):
        literal(host)


@given(st.integers(0, 2**32 - 1))
def test_no_number_is_taken_for_a_name(number):
    for host in (str(number), hex(number), oct(number).replace("o", "")):
        with pytest.raises(ValueError, match=r".*"):
            literal(host)


@pytest.mark.parametrize(
    "url", ["https://feeds.example.org/a", "https://feeds.example.org:8443/", "https://Bücher.example/"]
)
def test_urls_of_the_web_may_be_asked(url):
    assert Policy().target(url, allow_http=False).url.scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "feeds.example.org", "ftp://feeds.example.org/", "https://", "https://user@feeds.example.org/",
        "https://feeds.example.org:22/", "https://127.0.0.1/", "https://[::1]/", "http://feeds.example.org/",
        "builtin:cernvm", "file:///etc/passwd", "https://" + "a" * 3000,
    ],
)  # fmt: skip
def test_other_urls_may_not(url):
    with pytest.raises(SourceFailed):
        Policy().target(url, allow_http=False)


@given(st.text(max_size=60), st.sampled_from(["", "https://", "http://", "https://["]))
def test_whatever_is_written_is_a_url_or_refused(text, scheme):
    with contextlib.suppress(SourceFailed):
        target = Policy().target(scheme + text, allow_http=True)
        assert target.host
        assert target.url.scheme in {"http", "https"}


def test_a_site_allows_names_addresses_and_networks():
    policy = Policy.of(["Feeds.Lan.", "10.1.0.0/16", "fd00::/8", "192.168.7.7"])
    policy.check("feeds.lan", [ip_address("10.200.0.1")])
    policy.check("x", [ip_address("10.1.2.3"), ip_address("fd12::1"), ip_address("192.168.7.7")])
    for address in ("10.2.0.1", "192.168.7.8", "127.0.0.1"):
        with pytest.raises(SourceFailed, match="fetch_allowed"):
            policy.check("x", [ip_address(address)])
    with pytest.raises(Invalid):
        Policy.of(["10.0.0.1/8"])
