"""The agent's words: what is accepted, what is refused, and how a stream becomes lines."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cernvmagent import protocol

SESSION = {
    "type": "session",
    "id": 3,
    "session": "s-1",
    "port": 8888,
    "command": ["jupyterhub-singleuser"],
    "env": {"JUPYTERHUB_API_TOKEN": "hunter2"},
    "files": [{"path": "/run/cernvmhub/ssl/key.pem", "content": "hunter2", "mode": 256}],
    "home": {"serial": "home", "mount": "/home/cernvm"},
    "wait_for_context": True,
}


def decode(**changes):
    return protocol.decode(json.dumps(SESSION | changes).encode())


def test_a_session_is_read():
    session = decode()
    assert isinstance(session, protocol.Session)
    assert session.env == {"JUPYTERHUB_API_TOKEN": "hunter2"}
    assert session.files[0].mode == 0o400
    assert session.home == protocol.Home("home", "/home/cernvm")
    assert session.wait_for_context


def test_fields_that_are_not_known_are_ignored():
    assert decode(colour="blue") == decode()


def test_a_session_shows_nothing_secret():
    assert "hunter2" not in repr(decode())
    assert "hunter2" not in repr(decode().files)


@pytest.mark.parametrize(
    "changes",
    [
        {"session": ""},
        {"session": None},
        {"port": 0},
        {"port": 70000},
        {"port": True},
        {"command": []},
        {"command": "jupyter"},
        {"command": ["a\0b"]},
        {"env": {"not a name": "x"}},
        {"env": {"A": 1}},
        {"env": {"A": "b\0c"}},
        {"files": [{"path": "/etc/passwd", "content": ""}]},
        {"files": [{"path": "/run/cernvmhub/../shadow", "content": ""}]},
        {"files": [{"path": "/run/cernvmhub/a", "content": 5}]},
        {"files": [{"path": "/run/cernvmhub/a", "content": "", "mode": 0o4755}]},
        {"files": {}},
        {"home": {"serial": "../sda", "mount": "/home/cernvm"}},
        {"home": {"serial": "home", "mount": "/"}},
        {"home": {"serial": "home", "mount": "/home/../etc"}},
        {"wait_for_context": "yes"},
    ],
)
def test_a_session_that_is_not_right_is_refused(changes):
    with pytest.raises(protocol.Garbage) as refused:
        decode(**changes)
    assert refused.value.id == 3


@pytest.mark.parametrize("time", [0, -1, 1e12, "now", True, None])
def test_a_time_that_cannot_be_is_refused(time):
    with pytest.raises(protocol.Garbage):
        protocol.decode(json.dumps({"type": "clock", "time": time}).encode())


@given(st.binary())
def test_whatever_arrives_is_read_or_refused(line):
    with suppress(protocol.Garbage):
        protocol.decode(line)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10),
       st.sampled_from(sorted(SESSION)))  # fmt: skip
def test_whatever_a_session_holds_is_read_or_refused(value, field):
    with suppress(protocol.Garbage):
        protocol.decode(json.dumps(SESSION | {field: value}).encode())


@given(st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line)), st.integers(1, 20))
def test_lines_are_the_same_however_they_arrive(lines, piece):
    stream = b"".join(line + b"\n" for line in lines)
    cutter = protocol.Lines()
    got = []
    for start in range(0, len(stream), piece):
        got += cutter.feed(stream[start : start + piece])
    assert got == [line for line in lines if line.strip()]


def test_a_line_that_is_too_long_is_dropped_and_the_next_one_read():
    cutter = protocol.Lines()
    got = []
    for _ in range(20):
        got += cutter.feed(b"x" * 100_000)
    got += cutter.feed(b"x\nnext\n")
    assert got == [b"next"]


def test_a_message_is_one_line():
    line = protocol.encode({"type": "failed", "log_tail": "two\nlines \u2028 and é"})
    assert line.count(b"\n") == 1
    assert json.loads(line)["log_tail"] == "two\nlines \u2028 and é"


def test_a_log_that_is_too_long_is_left_out():
    line = protocol.encode({"type": "failed", "reason": "it failed", "log_tail": "x" * protocol.MAX_LINE})
    assert json.loads(line) == {"type": "failed", "reason": "it failed", "log_tail": ""}
