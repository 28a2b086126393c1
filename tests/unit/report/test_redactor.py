"""Secrets do not get into a report, whatever they are written as."""

from __future__ import annotations

import pytest

from cernvmcontroller.report.redactor import MASK, Redactor, pseudonyms

KNOWN = "p/l+a&nted secret"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSj\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        f"it said {KNOWN} aloud",
        "https://h/?x=p%2Fl%2Ba%26nted%20secret",
        "cC9sK2EmbnRlZCBzZWNyZXQ=",
        KEY,
        "one line of it: MIIEvQIBADANBgkqhkiG9w0BAQEF",
    ],
)
def test_a_known_secret_is_found_however_it_is_written(text):
    clean = Redactor([KNOWN, KEY]).text(text)
    assert MASK in clean
    for part in (KNOWN, "MIIEvQIB", "nted", "cC9sK2"):
        assert part not in clean


@pytest.mark.parametrize(
    "text",
    [
        "JUPYTERHUB_API_TOKEN=hush-hush",
        "Authorization: Bearer hush-hush-hush-hush",
        "Authorization: token hush-hush-hush-hush",
        '{"password": "hush hush", "x": 1}',
        "c.X.proxy_auth_token = 'hush hush'",
        "postgresql+asyncpg://hub:hush@db/name",
        "GET /?token=hush-hush&x=1",
        "set-cookie: hush-hush; Path=/",
        "-----BEGIN RSA PRIVATE KEY-----\nhush\n",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodXNoIn0.hush",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text):
    clean = Redactor([]).text(text)
    assert "hush" not in clean
    assert MASK in clean


def test_what_explains_a_failure_stays():
    text = 'host=host1 reason="pool full" request_id=0123456789abcdef0123456789abcdef qemu+ssh://far/system'
    assert Redactor(["", "short"]).text(text) == text


def test_people_get_the_same_word_everywhere_and_parts_of_words_stay():
    people = pseudonyms(["ann", "ann@x.org"], b"key")
    assert people == pseudonyms(["ann@x.org", "ann"], b"key")
    assert people != pseudonyms(["ann", "ann@x.org"], b"other")
    clean = Redactor([], people).text("ann, ann%40x.org and ann@x.org plan annual things of ann")
    ann, mail = people["ann"], people["ann@x.org"]
    assert clean == f"{ann}, {mail} and {mail} plan annual things of {ann}"


def test_a_name_behind_the_end_of_a_line_is_found_in_json():
    redactor = Redactor([], {"ann": "someone"})
    assert redactor.values({"x": ["first\nann\n", 1, None], "ann": True}) == {
        "x": ["first\nsomeone\n", 1, None],
        "someone": True,
    }
