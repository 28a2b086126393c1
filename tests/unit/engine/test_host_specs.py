"""What hosts are, before anything is connected: levels, credentials, configuration. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest

from cernvmapi.errors import Invalid
from cernvmapi.hosts import HostAttach
from cernvmapi.models import Level
from cernvmcontroller.hypervisor.specs import FilterSpec, NetworkSpec, PoolSpec
from cernvmcontroller.inventory import Defaults, attached, load_hosts
from cernvmcontroller.inventory.credentials import complete, transport_of
from cernvmcontroller.inventory.levels import highest

POOL = PoolSpec("hub", "/pool/hub")
NETWORK = NetworkSpec("hub", "hub-br", IPv4Network("10.80.0.0/20"))
FILTER = FilterSpec("hub", "10.80.0.1", (8081,), subnet="10.80.0.0/20")
DEFAULTS = Defaults(POOL, NETWORK, FILTER, Path("/nowhere"))


def load(*entries):
    return load_hosts(entries, DEFAULTS)


@pytest.mark.parametrize(
    ("uri", "level", "words"),
    [
        ("qemu:///system", Level.NOTEBOOK, ""),
        ("qemu+tls://node7/system", Level.NOTEBOOK, ""),
        ("test:///default", Level.NOTEBOOK, ""),
        ("qemu:///session", Level.PROVISION, "makes no network"),
        ("xen:///", Level.CONTROL, "made for QEMU"),
        ("lxc+ssh://root@node7/", Level.CONTROL, "those of lxc"),
        ("esx://vcenter.example.org/", Level.CONTROL, "those of esx"),
        ("vmwarefusion:///session", Level.CONTROL, "those of vmwarefusion"),
        ("phyp://node7/", Level.OBSERVE, "not known what libvirt's driver phyp can do"),
    ],
)
def test_a_driver_has_a_highest_level(uri, level, words):
    found, why = highest(uri)
    assert found is level
    assert (words in why) if words else why == ""


@pytest.mark.parametrize(
    ("chosen", "uri", "level", "explained"),
    [
        ("observe", "qemu:///system", Level.OBSERVE, False),
        ("notebook", "qemu:///session", Level.PROVISION, True),
        ("provision", "qemu:///session", Level.PROVISION, True),
        ("observe", "xen:///", Level.OBSERVE, False),
    ],
)
def test_a_level_is_the_lower_of_what_is_chosen_and_what_is_possible(chosen, uri, level, explained):
    (spec,) = load({"name": "a", "uris": [uri], "level": chosen})
    assert (spec.level, bool(spec.why_not_more)) == (level, explained)
    same = attached(HostAttach(name="a", uris=[uri], level=Level(chosen)), DEFAULTS)
    assert (same.level, same.why_not_more, same.networked) == (spec.level, spec.why_not_more, spec.networked)


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("qemu:///system", ""),
        ("qemu+unix:///system", ""),
        ("qemu://node7/system", "tls"),
        ("qemu+tls://node7/system", "tls"),
        ("xen+ssh://root@node7/", "ssh"),
        ("qemu+libssh2://root@node7/system", "libssh2"),
        ("esx://node7/", ""),
    ],
)
def test_a_uri_says_how_it_connects(uri, transport):
    assert transport_of(uri) == transport


@pytest.fixture
def folder(tmp_path):
    """A folder of credentials with all that any connection may need."""
    folder = tmp_path / "rack"
    folder.mkdir()
    for name in ("cacert.pem", "clientcert.pem", "clientkey.pem", "id", "known_hosts", "auth.conf"):
        (folder / name).touch(mode=0o600)
    return folder


@pytest.mark.parametrize(
    ("uri", "query"),
    [
        ("qemu+tls://node7/system", "pkipath={folder}"),
        ("qemu+ssh://root@node7/system", "no_tty=1&keyfile={folder}/id"),
        (
            "qemu+libssh://root@node7/system",
            "keyfile={folder}/id&known_hosts={folder}/known_hosts&known_hosts_verify=normal&sshauth=privkey",
        ),
        ("esx://node7/", "authfile={folder}/auth.conf"),
    ],
)
def test_credentials_are_named_in_the_uri_that_libvirt_opens(folder, uri, query):
    assert complete(uri, "rack", folder.parent) == f"{uri}?{query.format(folder=folder)}"


def test_without_credentials_nothing_asks_on_a_terminal(tmp_path):
    assert complete("qemu+ssh://node7/system", None, tmp_path) == "qemu+ssh://node7/system?no_tty=1"
    assert complete("qemu+tls://node7/system", None, tmp_path) == "qemu+tls://node7/system"


def test_credentials_that_are_incomplete_or_open_to_others_are_refused(folder):
    (folder / "clientkey.pem").chmod(0o640)
    with pytest.raises(Invalid, match=r"Other accounts .* may read .*clientkey\.pem"):
        complete("qemu+tls://node7/system", "rack", folder.parent)
    (folder / "clientkey.pem").unlink()
    with pytest.raises(Invalid, match=r"The credentials rack lack clientkey\.pem: put cacert\.pem"):
        complete("qemu+tls://node7/system", "rack", folder.parent)
    with pytest.raises(Invalid, match="The credentials other lack id"):
        complete("qemu+ssh://node7/system", "other", folder.parent)


@pytest.mark.parametrize("name", ["../rack", "/etc", "a/b", "..", "rack\n"])
def test_credentials_are_named_not_pathed(name):
    sent = {"name": "a", "uris": ["qemu:///system"], "credentials": name}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(sent, HostAttach)


def test_an_attached_host_has_a_pool_of_its_own_and_the_hubs_network():
    spec = attached(HostAttach(name="far", uris=["qemu+tls://far/system"]), DEFAULTS)
    assert (spec.pool, spec.network, spec.filter) == (
        PoolSpec("hub-far", "/pool/hub-far"),
        NETWORK,
        FILTER,
    )
    shared = attached(
        HostAttach(name="far", uris=["qemu+tls://far/system"], pool="nfs", pool_path="/nfs/hub"), DEFAULTS
    )
    assert shared.pool == PoolSpec("nfs", "/nfs/hub")


def test_a_host_that_is_spelled_like_a_word_of_the_api_is_refused():
    with pytest.raises(Invalid, match="a word of the API"):
        load({"name": "test", "uris": ["qemu:///system"]})
