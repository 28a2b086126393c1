"""What of a viewer's bytes reaches a machine's VNC server."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cernvmapi.errors import Malformed
from cernvmcontroller.consoles.rfb import ViewerInput

HELLO = b"RFB 003.008\n\x01"
HANDSHAKE = HELLO + b"\x00"
SHARED = HELLO + b"\x01"
FORMAT = b"\x00\0\0\0" + bytes(16)
ENCODINGS = b"\x02\0\0\x02" + bytes(8)
REQUEST = b"\x03\x01" + bytes(8)
KEY = b"\x04\x01\0\0\0\0\0a"
POINTER = b"\x05\x01\0\x01\0\x01"
CLIPBOARD = b"\x06\0\0\0\0\0\0\x05hello"
EXTENDED_CLIPBOARD = b"\x06\0\0\0" + (-6).to_bytes(4, signed=True) + bytes(6)
QEMU_KEY = b"\xff\x00\x00\x01" + bytes(8)
RESIZE = b"\xfb\0\x04\0\x03\0\x01\0" + bytes(16)
LOOKS = (FORMAT, ENCODINGS, REQUEST)
ACTS = (KEY, POINTER, CLIPBOARD, EXTENDED_CLIPBOARD, QEMU_KEY, RESIZE)


def cut(data, at):
    """Return `data` in pieces."""
    edges = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(
    st.lists(st.sampled_from(LOOKS + ACTS)), st.lists(st.integers(min_value=0), max_size=12), st.booleans()
)
def test_however_it_is_cut_who_looks_only_asks_for_the_picture(messages, at, view_only):
    viewer = ViewerInput(view_only=view_only)
    passed = b"".join(viewer.feed(piece) for piece in cut(HANDSHAKE + b"".join(messages), at))
    wanted = [message for message in messages if not view_only or message in LOOKS]
    assert passed == SHARED + b"".join(wanted)


def test_nobody_has_the_screen_alone():
    assert ViewerInput(view_only=False).feed(HANDSHAKE) == SHARED


@pytest.mark.parametrize(
    "said", [b"RFB 003.003\n", b"GET / HTTP/1.1\r\n", b"RFB 003.008\n\x02", b"RFB 003.008\n\x13"]
)
def test_what_is_no_rfb_without_a_password_is_refused(said):
    with pytest.raises(Malformed):
        ViewerInput(view_only=False).feed(said)


@pytest.mark.parametrize(
    "message", [b"\xfa\0\x01\x02", b"\xff\x01\0\0", b"\x96" + bytes(9), b"\x06\0\0\0\x7f\xff\xff\xff"]
)
def test_what_is_not_known_is_not_guessed_at_where_somebody_only_looks(message):
    viewer = ViewerInput(view_only=True)
    viewer.feed(HANDSHAKE)
    with pytest.raises(Malformed):
        viewer.feed(message)


def test_a_long_clipboard_of_who_only_looks_is_not_kept():
    viewer = ViewerInput(view_only=True)
    viewer.feed(HANDSHAKE)
    viewer.feed(b"\x06\0\0\0\x00\x0f\0\0")
    for _ in range(15):
        assert viewer.feed(b"x" * 65536) == b""
    assert len(viewer._rest) < 65536
