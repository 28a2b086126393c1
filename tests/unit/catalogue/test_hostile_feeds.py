"""Feeds that were made to do harm, and whatever chance makes."""

import contextlib
import json
import time
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cernvmapi.errors import SourceFailed
from cernvmcontroller.catalogue import isolation
from cernvmcontroller.catalogue.isolation import read_apart
from cernvmcontroller.catalogue.readers import __main__ as child
from cernvmcontroller.catalogue.readers import document as documents
from cernvmcontroller.catalogue.readers.reading import read
from cernvmcontroller.catalogue.readers.text import decoded, line, plain

URL = "https://feeds.example.test/feed"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<rss version='2.0'><channel><title>&b;</title></channel></rss>"
)
XXE = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<rss version='2.0'><channel><title>&x;</title></channel></rss>"
)


def feed(title="t", description=""):
    return (
        f"<rss version='2.0'><channel><title>f</title><item><title><![CDATA[{title}]]></title>"
        f"<description><![CDATA[{description}]]></description></item></channel></rss>"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", [BOMB, XXE, BOMB.replace("DOCTYPE", "doctype"), BOMB.replace("<!D", "<! D")])
def test_document_types_and_entities_are_refused_in_every_encoding(text, encoding):
    with pytest.raises(SourceFailed, match=r"DOCTYPE|neither"):
        read(text.encode(encoding), URL)


def test_markup_becomes_text_and_scripts_become_nothing():
    html = '<p>Hello <b onclick="x()">you</b>&nbsp;&amp; me</p><script>alert(1)</script><img src=x onerror=y>'
    (found,) = read(feed(html, html).encode(), URL).entries
    assert (found.title, found.description) == ("Hello you & me", "Hello you & me")


def test_characters_that_trick_are_taken_out():
    text = "a\u202eb\u200bc\x1b[31md\x00e\ufefff\u2066g\x7fh\ud800i"
    assert line(text) == "abc[31mdefghi"


def test_texts_end():
    (found,) = read(feed("t" * 10_000, "d" * 100_000).encode(), URL).entries
    assert (len(found.title), len(found.description)) == (255, 10_000)


def test_an_encoding_that_is_not_what_it_says_is_read_anyway():
    assert decoded('<?xml version="1.0" encoding="utf-8"?>é'.encode("latin-1"))[-1] == "é"
    assert decoded('<?xml version="1.0" encoding="iso-8859-1"?>é'.encode("latin-1"))[-1] == "é"
    assert decoded(b'<?xml version="1.0" encoding="utf-7"?>+ADw-x')[-6:] == "+ADw-x"  # no disguise
    assert decoded('<?xml version="1.0" encoding="no-such"?>é'.encode())[-1] == "é"


def test_deep_json_is_refused():
    with pytest.raises(SourceFailed):
        read(b'{"hv:imagelist":' + b"[" * 100_000, URL)


def test_more_entries_than_anybody_reads_are_refused(monkeypatch):
    monkeypatch.setattr(documents, "MOST_ENTRIES", 3)
    content = feed().replace("<item>", "<item><title>x</title></item>" * 3 + "<item>")
    with pytest.raises(SourceFailed, match="4 entries"):
        read(content.encode(), URL)


async def test_a_feed_is_read_in_a_process_of_its_own():
    document = await read_apart(feed("Ä ☕").encode(), URL)
    assert [each.title for each in document.entries] == ["Ä ☕"]
    with pytest.raises(SourceFailed, match="DOCTYPE"):
        await read_apart(BOMB.encode(), URL)


async def test_reading_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(isolation, "SECONDS", 0.5)
    monkeypatch.setattr(isolation, "_PROGRAM", "tests.unit.catalogue.endless")
    monkeypatch.setattr(isolation, "_KEPT", (*isolation._KEPT, "PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", ".")
    begun = time.monotonic()
    with pytest.raises(SourceFailed, match="given up"):
        await read_apart(b"x", URL)
    assert time.monotonic() - begun < 10


async def test_reading_that_takes_too_much_memory_is_ended(monkeypatch):
    monkeypatch.setattr(isolation, "_PROGRAM", "tests.unit.catalogue.greedy")
    monkeypatch.setattr(isolation, "_KEPT", (*isolation._KEPT, "PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", ".")
    with pytest.raises(SourceFailed, match=f"{child.MEMORY // 1024**2} MiB"):
        await read_apart(b"x", URL)


async def test_the_process_has_none_of_the_controllers_secrets(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
    monkeypatch.setattr(isolation, "_PROGRAM", "tests.unit.catalogue.telltale")
    monkeypatch.setattr(isolation, "_KEPT", (*isolation._KEPT, "PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", ".")
    with pytest.raises(SourceFailed) as caught:
        await read_apart(b"x", URL)
    assert "PATH" in caught.value.detail
    assert "JUPYTERHUB" not in caught.value.detail


BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def check(document):
    for each in document.entries:
        for text in (each.title, each.description, each.category, each.version, each.updated_text, each.guid):
            assert not any(unicodedata.category(char).startswith("C") for char in text.replace("\n", ""))
        for enclosure in each.enclosures:
            assert enclosure.url.startswith(("https://", "http://"))
            assert enclosure.length is None or enclosure.length > 0
        json.dumps(each.title).encode()


@BOUNDED
@given(st.binary(max_size=400))
def test_no_bytes_break_the_readers(content):
    with contextlib.suppress(SourceFailed):
        check(read(content, URL))


@BOUNDED
@given(
    st.text(max_size=80),
    st.text(max_size=80),
    st.text(max_size=60),
    st.text(max_size=20),
    st.text(max_size=40),
)
def test_no_item_breaks_the_readers(title, description, url, length, date):
    content = (
        f"<rss version='2.0'><channel><item><title>{title}</title><description>{description}</description>"
        f"<pubDate>{date}</pubDate><enclosure url='{url}' length='{length}'/></item></channel></rss>"
    )
    with contextlib.suppress(SourceFailed):
        check(read(content.encode("utf-8", "replace"), URL))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = [
    "dc:identifier", "dc:title", "hv:uri", "hv:size", "hv:version", "sl:arch", "sl:checksum:sha512",
    "hv:ram_minimum", "dc:date:expires", "dc:date:created",
]  # fmt: skip


@BOUNDED
@given(st.dictionaries(st.sampled_from(_KEYS), _JSON), _JSON)
def test_no_image_breaks_the_reader_of_image_lists(image, other):
    content = {"hv:imagelist": {"hv:images": [{"hv:image": image}, other], "dc:date:expires": other}}
    check(read(json.dumps(content).encode(), URL))


@BOUNDED
@given(st.dictionaries(st.sampled_from(["arch", "os", "release", "release_title", "versions"]), _JSON), _JSON)
def test_no_product_breaks_the_reader_of_simplestreams(product, item):
    product = {"versions": {"20260101": {"items": {"a": item}, "label": item}}, **product}
    check(read(json.dumps({"products": {"p": product}}).encode(), URL))


@BOUNDED
@given(st.text(max_size=300))
def test_what_is_plain_has_no_line_to_spare(text):
    found = plain(text, 100)
    assert len(found) <= 100
    assert all(part and part == " ".join(part.split()) for part in found.split("\n")) or found == ""
