"""Image lists in S/MIME, signed by openssl as endorsers do, and checked against the site's authority."""

from pathlib import Path

import pytest
from tests.unit.catalogue.endorser import IMAGES, Endorser

from cernvmapi.errors import Invalid, SourceFailed
from cernvmcontroller.catalogue.isolation import read_apart
from cernvmcontroller.catalogue.readers.reading import read
from cernvmcontroller.catalogue.sources import certificates

URL = "https://lists.example.test/image.list"


@pytest.fixture(scope="module")
def endorser(tmp_path_factory):
    return Endorser(tmp_path_factory.mktemp("pki"), "endorser")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Endorser(tmp_path_factory.mktemp("pki"), "other")


@pytest.mark.parametrize("options", [[], ["-text"], ["-nodetach"]], ids=str)
async def test_a_signed_list_is_read_and_its_signer_named(endorser, options):
    signed = endorser.sign(IMAGES.read_bytes(), *options)
    document = await read_apart(signed, URL, endorser.authority)
    assert "endorser" in document.signer
    assert document.entries[0].title == "CernVM for KVM"


@pytest.mark.parametrize("options", [[], ["-text"], ["-nodetach"]], ids=str)
def test_without_an_authority_it_is_read_and_marked_as_unchecked(endorser, options):
    document = read(endorser.sign(IMAGES.read_bytes(), *options), URL)
    assert document.signer is None
    assert document.entries[0].title == "CernVM for KVM"


def test_a_list_that_somebody_else_signed_is_refused(endorser, other):
    with pytest.raises(SourceFailed, match=r"could not be verified \(.*(issuer|certificate)"):
        read(other.sign(IMAGES.read_bytes()), URL, endorser.authority)


def test_whom_the_system_trusts_for_other_things_signs_no_list(endorser, other, tmp_path, monkeypatch):
    for name, value in other.trusted_by_the_system(tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SourceFailed, match=r"could not be verified"):
        read(other.sign(IMAGES.read_bytes()), URL, endorser.authority)


def test_a_list_that_was_changed_is_refused(endorser):
    signed = endorser.sign(IMAGES.read_bytes())
    assert b"121243136" in signed
    with pytest.raises(SourceFailed, match=r"could not be verified \(verification failure\)"):
        read(signed.replace(b"121243136", b"121243137"), URL, endorser.authority)


def test_what_stands_around_the_signed_part_is_not_read(endorser):
    evil = IMAGES.read_bytes().replace(b"CernVM for KVM", b"Evil")
    signed = endorser.sign(IMAGES.read_bytes())
    head, boundary, rest = signed.partition(b"\n------")
    for forged in (head + b"\n" + evil + boundary + rest, signed + evil):
        try:
            document = read(forged, URL, endorser.authority)
        except SourceFailed:
            continue
        assert document.entries[0].title == "CernVM for KVM"


@pytest.mark.parametrize("content", [b"{}", b"<rss version='2.0'/>", b"Content-Type: text/plain\n\n{}"])
def test_what_is_not_signed_is_refused_where_an_authority_is_set(endorser, content):
    with pytest.raises(SourceFailed, match=r"signed|verified"):
        read(content, URL, endorser.authority)


def test_an_authority_is_certificates_and_nothing_else(endorser):
    key = Path(endorser.key).read_text()
    assert "PRIVATE KEY" not in certificates(key + endorser.authority)
    assert certificates("  ") is None
    with pytest.raises(Invalid, match="PEM"):
        certificates(key)
