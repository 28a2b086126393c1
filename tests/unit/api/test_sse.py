"""The parser of server-sent events, however the bytes are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cernvmapi.sse import LONGEST_DELAY, Message, Parser, Position

STREAM = (
    "\ufeffretry: 2000\nid: 4\n\n"
    ": a comment\n\n"
    'id: 5\nevent: machine.changed\ndata: {"name": "käse ☕"}\n\n'
    "data: first\r\ndata:second\r\ndata\r\n\r\n"
    "id\ndata: no id any more\rdata: one more\r\r"
    "id: 7\0\nunknown: field\ndata: x\n\n"
    "id: 8\nevent: nothing\n\n"
    "id: 9\ndata: not finished\n"
)  # fmt: skip
MESSAGES = [
    Message("5", "machine.changed", '{"name": "käse ☕"}'),
    Message("5", "message", "first\nsecond\n"),
    Message("", "message", "no id any more\none more"),
    Message("", "message", "x"),
]


def parts(data, cuts):
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.integers(min_value=0)))
def test_messages_are_the_same_however_the_stream_is_cut(cuts):
    parser = Parser()
    found = [message for part in parts(STREAM.encode(), cuts) for message in parser.feed(part)]
    assert found == MESSAGES
    assert parser.retry == 2.0
    assert parser.last_id == "8"  # that of 9 is not finished, so it would be sent again


@given(st.binary())
def test_nothing_that_is_sent_breaks_it(data):
    Parser().feed(data)


def test_a_position_moves_when_an_event_was_handed_on():
    position = Position(3)
    position.connected()
    position.feed(b"retry: 2000\nid: 4\n\n")
    assert position.after == 4
    (message,) = position.feed(b"id: 5\ndata: {}\n\n")
    assert position.after == 4
    position.passed(message.id)
    assert position.after == 5
    position.feed(b"id: 6\n")
    position.feed(b"data: {}\n")
    assert position.after == 5  # not complete
    position.connected()
    assert position.after == 5


def test_pauses_grow_and_have_an_end():
    position = Position()
    delays = [position.delay() for _ in range(50)]
    assert delays[0] < 1
    assert max(delays) <= LONGEST_DELAY
    assert min(delays[10:]) >= LONGEST_DELAY / 2
    position.connected()
    assert position.delay() < 1
