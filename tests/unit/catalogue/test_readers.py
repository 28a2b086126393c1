"""Feeds of each format, as they are found in the wild: read, and shown as they are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cernvmapi.errors import SourceFailed
from cernvmapi.models import FeedKind
from cernvmcontroller.catalogue.readers.dates import instant
from cernvmcontroller.catalogue.readers.links import link
from cernvmcontroller.catalogue.readers.reading import read
from cernvmcontroller.catalogue.sources import builtin

FEEDS = Path(__file__).parents[2] / "fixtures" / "feeds"
URL = "https://feeds.example.test/streams/v1/feed"


def sample(name, url=URL):
    return read((FEEDS / name).read_bytes(), url)


def rss(*items, head="", channel=""):
    return (
        f'<?xml version="1.0"?>{head}<rss version="2.0" xmlns:hub="urn:cernvmhub:feed"><channel>'
        f"<title>Feed</title>{channel}{''.join(f'<item>{each}</item>' for each in items)}</channel></rss>"
    ).encode()


def entry(*items, **more):
    (found,) = read(rss(*items, **more), URL).entries
    return found


def test_a_vmcast_feed_is_shown_with_its_irregularities():
    document = sample("vappliances.rss")
    assert (document.kind, document.title) == (FeedKind.RSS, "vmcast service for PH-SFT CERN")
    first, second, third, last = document.entries
    assert first.guid == "8d4c9f10-0260-11dd-bd0b-0800200c9a66"  # vmcast's own element
    assert (first.title, first.category) == ("rpath (1.0.7) for x86_64-root.ext3", "Free")
    assert (first.version, first.arch) == ("1.0.7", "x86_64")
    assert first.updated == datetime(2008, 4, 4, 16, 13, 17, tzinfo=UTC)
    (enclosure,) = first.enclosures
    assert (enclosure.length, enclosure.type) == (1048576, "application/enomalism2-xvm2")
    assert second.updated_text == "2008-04-04 18:13:17.204218"  # no date of RSS: read, and shown as it is
    assert second.updated == datetime(2008, 4, 4, 18, 13, 17, 204218, tzinfo=UTC)
    assert second.enclosures[0].url.endswith("rpath-1.0.7-x86.xvm2")  # single quotes
    assert third.enclosures[0].length is None  # 0 bytes is no length
    assert (last.enclosures, last.category, last.title) == ([], "", "joomla1point5 (0.0.5) for x86-root.ext3")


def test_a_feed_that_is_no_xml_is_read_where_it_can_be():
    broken = (FEEDS / "vappliances.rss").read_text().replace("<title>rpath", "<title>R & D: <b>rpath")
    entries = read(broken.encode(), URL).entries
    assert len(entries) == 4
    assert entries[0].title.startswith("R & D: rpath")
    assert entries[0].enclosures[0].length == 1048576


def test_our_namespace_says_what_rss_cannot_whatever_its_prefix():
    digest = "A1" * 32
    content = rss(
        "<title>CernVM</title><guid>g</guid><x:sha256>" + digest + "</x:sha256><x:version>5.1</x:version>"
        "<x:arch>arm64</x:arch><x:virtualSize>20480</x:virtualSize><x:minMemory>2048</x:minMemory>"
        "<x:minVcpus>2</x:minVcpus><x:firmware>uefi</x:firmware><x:context>nocloud configdrive</x:context>"
        "<x:expires>2030-01-01T00:00:00Z</x:expires><x:licence>GPL</x:licence><x:appliance>cernvm5</x:appliance>"
        "<x:signature>image.asc</x:signature><x:os>EL 9</x:os>"
        '<enclosure url="image.qcow2" length="7" type="application/x-qemu-disk"/>'
        '<enclosure url="image.ova" length="8"/>'
    ).replace(b"xmlns:hub", b"xmlns:x")
    (found,) = read(content, "https://feeds.example.test/a/feed.rss").entries
    assert [each.url for each in found.enclosures] == [
        "https://feeds.example.test/a/image.qcow2",
        "https://feeds.example.test/a/image.ova",
    ]
    assert [each.checksums for each in found.enclosures] == [{"sha256": digest.lower()}, {}]
    assert (found.version, found.arch, found.os, found.licence) == ("5.1", "aarch64", "EL 9", "GPL")
    assert (found.virtual_size_mib, found.min_memory_mib, found.min_vcpus) == (20480, 2048, 2)
    assert (found.firmware, found.context) == ("uefi", ["nocloud", "configdrive"])
    assert (found.appliance, found.expires) == ("cernvm5", datetime(2030, 1, 1, tzinfo=UTC))
    assert found.signature_url == "https://feeds.example.test/a/image.asc"


def test_what_our_namespace_must_not_say_is_left_out():
    found = entry(
        "<title>t</title><hub:sha256>zz</hub:sha256><hub:firmware>coreboot</hub:firmware>"
        "<hub:appliance>../etc</hub:appliance><hub:minMemory>-1</hub:minMemory>"
        "<hub:virtualSize>99999999999999999999999</hub:virtualSize><hub:expires>soon</hub:expires>"
        '<enclosure url="https://e.test/i" length="-3"/>'
    )
    assert found.enclosures[0].checksums == {}
    assert (found.enclosures[0].length, found.firmware, found.appliance) == (None, None, None)
    assert (found.min_memory_mib, found.virtual_size_mib, found.expires) == (None, None, None)


def test_an_atom_feed_is_read():
    content = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Atom</title><entry><id>urn:1</id>
      <title>One</title><updated>2026-01-02T03:04:05+01:00</updated><category term="Disk"/>
      <summary type="html">&lt;p&gt;Hello &lt;b&gt;you&lt;/b&gt;&lt;/p&gt;</summary><rights>MIT</rights>
      <link rel="enclosure" href="one.qcow2" length="12" type="application/x-qemu-disk"/>
      <link rel="alternate" href="/about"/></entry></feed>"""
    document = read(content, URL)
    (found,) = document.entries
    assert (document.kind, found.guid, found.title, found.category) == (FeedKind.ATOM, "urn:1", "One", "Disk")
    assert (found.description, found.licence) == ("Hello you", "MIT")
    assert found.updated == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert found.enclosures[0].url == "https://feeds.example.test/streams/v1/one.qcow2"
    assert found.link == "https://feeds.example.test/about"


def test_a_hepix_image_list_is_read_and_lends_its_images_its_end():
    document = sample("images.json")
    first, second = document.entries
    assert (document.kind, document.title, document.signer) == (FeedKind.HEPIX, "Images of the site", None)
    assert document.expires == datetime(2036, 1, 1, tzinfo=UTC)
    assert (first.title, first.version, first.arch, first.os) == (
        "CernVM for KVM", "3.3.0", "x86_64", "CernVM 3.3",
    )  # fmt: skip
    assert (first.description, first.category) == ("A small image", "KVM")
    assert (first.min_memory_mib, first.min_vcpus) == (512, 1)
    assert first.enclosures[0].length == 121243136
    assert first.enclosures[0].checksums == {"sha512": "a" * 128}
    assert first.expires == document.expires
    assert second.enclosures == []  # file: is no link


def test_a_simplestreams_list_gives_an_entry_for_each_version():
    document = sample("products.json", "https://cloud.example.test/releases/streams/v1/products.json")
    (found,) = document.entries
    assert (document.kind, found.title) == (FeedKind.SIMPLESTREAMS, "ubuntu 24.04 LTS amd64")
    assert (found.version, found.updated) == ("20260601", datetime(2026, 6, 1, tzinfo=UTC))
    (image,) = found.enclosures  # the manifest is no image
    assert image.url == "https://cloud.example.test/releases/server/releases/noble/disk1.img"
    assert image.checksums == {"sha256": "b" * 64}


def test_an_index_of_simplestreams_lists_names_the_lists():
    content = b'{"format": "index:1.0", "index": {"a": {"path": "streams/v1/one.json"}}}'
    with pytest.raises(SourceFailed, match=r"https://c\.test/r/streams/v1/one\.json"):
        read(content, "https://c.test/r/streams/v1/index.json")


def test_a_virt_builder_index_is_read_out_of_its_signature():
    document = sample("index.asc", "https://builder.example.test/images/index.asc")
    (found,) = document.entries  # one is hidden
    assert (document.kind, found.title, found.version) == (FeedKind.VIRT_BUILDER, "Fedora 40 Server", "3")
    assert found.enclosures[0].url == "https://builder.example.test/images/fedora-40.xz"
    assert found.enclosures[0].checksums == {"sha512": "c" * 128}
    assert (found.virtual_size_mib, found.enclosures[0].length) == (6144, 700000000)
    assert found.description == "Fedora\nof two lines"


def test_what_stands_outside_of_a_signature_is_not_read():
    forged = (FEEDS / "index.asc").read_text() + "\n[evil]\nname=Evil\nfile=evil.xz\n"
    assert [each.title for each in read(forged.encode(), URL).entries] == ["Fedora 40 Server"]


def test_cernvms_releases_come_with_the_hub():
    document = read(builtin("builtin:cernvm"), "builtin:cernvm")
    assert document.title == "CernVM releases"
    newest = document.entries[0]
    assert (newest.version, newest.appliance, newest.firmware) == ("2021.05-1", "cernvm4", "bios")
    assert all(each.checksum_url and each.enclosures for each in document.entries)
    assert all(
        part.url.startswith("https://cernvm.cern.ch/") for e in document.entries for part in e.enclosures
    )


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("Fri, 04 Apr 2008 18:13:17 +0200", "2008-04-04T16:13:17+00:00"),
        ("4 Apr 2008 18:13 GMT", "2008-04-04T18:13:00+00:00"),
        ("2008-04-04 18:13:17.204218", "2008-04-04T18:13:17.204218+00:00"),
        ("2008-04-04T18:13:17Z", "2008-04-04T18:13:17+00:00"),
        ("2008-04-04", "2008-04-04T00:00:00+00:00"),
        ("20080404", "2008-04-04T00:00:00+00:00"),
        ("20080404.5", "2008-04-04T00:00:00+00:00"),
        ("yesterday", None),
        ("", None),
        ("99999999", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("Fri, 31 Feb 2008 18:13:17 +0200", None),
    ],
)
def test_dates_are_understood_where_they_can_be(text, iso):
    found = instant(text)
    assert (found.isoformat() if found else None) == iso


@pytest.mark.parametrize(
    "bad",
    [
        "javascript:alert(1)", " JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "file:///etc/passwd",
        "ftp://e.test/i", "https://user:secret@e.test/i", "https://e.test:99999/", "http://[::1",
        "https://e.test/a b", "https://e.test\\@evil.test/", "https://e.test/\u202egpj", "", "x" * 3000,
    ],
)  # fmt: skip
def test_links_that_are_not_of_the_web_are_left_out(bad):
    assert link("https://feeds.example.test/feed", bad) is None


def test_two_items_with_one_guid_are_one_entry():
    document = read(rss("<title>a</title><guid>g</guid>", "<title>b</title><guid>g</guid>"), URL)
    assert [each.title for each in document.entries] == ["a"]


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<html><body>404</body></html>", b"[1,", b"{", b'{"a": 1}', b"\0\1"]
)
def test_what_is_no_feed_is_told_in_a_sentence(content):
    with pytest.raises(SourceFailed) as caught:
        read(content, URL)
    assert caught.value.detail.rstrip().endswith(".")
