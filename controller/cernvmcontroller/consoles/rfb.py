"""What a viewer sends to a machine's VNC server, looked at before it is passed on (RFC 6143).

Two things are settled here. All share the screen: whoever asks to have it alone would throw the others out.
And who only looks presses no key, moves no pointer and sets no clipboard: of a viewer's messages just those
pass that ask for the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSIONS = (b"RFB 003.007\n", b"RFB 003.008\n")
_NO_PASSWORD = 1
_SHARED = b"\x01"
_SET_PIXEL_FORMAT, _SET_ENCODINGS, _UPDATE_REQUEST = 0, 2, 3
_KEY, _POINTER, _CUT_TEXT = 4, 5, 6
_SET_DESKTOP_SIZE = 251
_QEMU = 255
_QEMU_KEY = 0
_PASSED = frozenset({_SET_PIXEL_FORMAT, _SET_ENCODINGS, _UPDATE_REQUEST})
_LONGEST = 1024 * 1024


def _unknown(_head: bytes) -> int:
    raise Malformed("The viewer sends what somebody who only looks has no use for.")


def _qemu(head: bytes) -> int:
    return 12 if head[1] == _QEMU_KEY else _unknown(head)


_SIZES: dict[int, tuple[int, Callable[[bytes], int]]] = {
    _SET_PIXEL_FORMAT: (1, lambda _: 20),
    _SET_ENCODINGS: (4, lambda head: 4 + 4 * int.from_bytes(head[2:4])),
    _UPDATE_REQUEST: (1, lambda _: 10),
    _KEY: (1, lambda _: 8),
    _POINTER: (1, lambda _: 6),
    # Negative in the extended clipboard.
    _CUT_TEXT: (8, lambda head: 8 + abs(int.from_bytes(head[4:8], signed=True))),
    _SET_DESKTOP_SIZE: (8, lambda head: 8 + 16 * head[6]),
    _QEMU: (2, _qemu),
}
"""How many bytes of a message say how long it is, and what they say. The last two are not in RFC 6143, but in
the rfbproto project's description: what noVNC sends."""


class ViewerInput:
    """The bytes of one viewer.

    Parameters
    ----------
    view_only
        Whether only what asks for the picture passes.
    """

    def __init__(self, *, view_only: bool) -> None:
        self._view_only = view_only
        self._rest = bytearray()
        self._steps = [self._version, self._security, self._init]
        self._skip = 0

    def feed(self, data: bytes) -> bytes:
        """Return what of `data`, and of what waited for its end, goes to the machine.

        Raises
        ------
        Malformed
            A viewer that does not speak RFB as VNC without a password does, or sends what is not known here
            where that matters.
        """
        if not self._steps and not self._view_only:
            return data
        self._rest += data
        passed = bytearray()
        while self._rest:
            if self._skip:
                dropped = min(self._skip, len(self._rest))
                del self._rest[:dropped]
                self._skip -= dropped
                continue
            if self._steps:
                taken = self._steps[0]()
                if taken:
                    self._steps.pop(0)
            elif self._view_only:
                taken = self._message()
            else:
                taken = bytes(self._rest)
                self._rest.clear()
            if taken is None:
                break
            passed += taken
        return bytes(passed)

    def _take(self, size: int) -> bytes | None:
        if len(self._rest) < size:
            return None
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    def _version(self) -> bytes | None:
        taken = self._take(len(_VERSIONS[0]))
        if taken is not None and taken not in _VERSIONS:
            raise Malformed("The viewer does not speak RFB 3.7 or 3.8.")
        return taken

    def _security(self) -> bytes | None:
        taken = self._take(1)
        if taken is not None and taken[0] != _NO_PASSWORD:
            raise Malformed("The viewer wants a security type that the machine did not offer.")
        return taken

    def _init(self) -> bytes | None:
        return _SHARED if self._take(1) is not None else None

    def _message(self) -> bytes | None:
        """Return a message that passes, ``b""`` for one that does not, None for one that has not all come."""
        kind = self._rest[0]
        size = self._size(kind)
        if size is None:
            return None
        if kind in _PASSED:
            return self._take(size)
        self._skip = size
        return b""

    def _size(self, kind: int) -> int | None:
        """Return how long a message is; None where too little of it has come to know."""
        head, size_of = _SIZES.get(kind, (1, _unknown))
        if len(self._rest) < head:
            return None
        size = size_of(bytes(self._rest[:head]))
        if size > _LONGEST:
            raise Malformed("The viewer's clipboard is too large.")
        return size
