"""From names of keys and from text to the key codes that a machine's keyboard sends.

Only what has a name here can be pressed. Codes are Linux' (``linux/input-event-codes.h``), which libvirt
translates for each kind of keyboard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cernvmapi.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Chord = tuple[int, ...]
"""Codes of keys that are pressed together."""

_ROWS = {2: "1234567890", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}
_PUNCTUATION = {
    "minus": (12, "-_"),
    "equal": (13, "=+"),
    "leftbracket": (26, "[{"),
    "rightbracket": (27, "]}"),
    "semicolon": (39, ";:"),
    "apostrophe": (40, "'\""),
    "grave": (41, "`~"),
    "backslash": (43, "\\|"),
    "comma": (51, ",<"),
    "dot": (52, ".>"),
    "slash": (53, "/?"),
}
_NAMED = {
    "esc": 1,
    "backspace": 14,
    "tab": 15,
    "enter": 28,
    "ctrl": 29,
    "shift": 42,
    "alt": 56,
    "space": 57,
    "capslock": 58,
    "numlock": 69,
    "scrolllock": 70,
    "f11": 87,
    "f12": 88,
    "print": 99,
    "altgr": 100,
    "home": 102,
    "up": 103,
    "pageup": 104,
    "left": 105,
    "right": 106,
    "end": 107,
    "down": 108,
    "pagedown": 109,
    "insert": 110,
    "delete": 111,
    "pause": 119,
    "super": 125,
    "menu": 127,
}

KEYS: dict[str, int] = {
    **{name: start + index for start, names in _ROWS.items() for index, name in enumerate(names)},
    **{name: code for name, (code, _) in _PUNCTUATION.items()},
    **{f"f{number}": 58 + number for number in range(1, 11)},
    **_NAMED,
}
"""The keys that there are, by name."""

_SHIFT = _NAMED["shift"]
_TYPED: dict[str, Chord] = {
    "\n": (_NAMED["enter"],),
    "\t": (_NAMED["tab"],),
    " ": (_NAMED["space"],),
    **{name: (code,) for name, code in KEYS.items() if len(name) == 1},
    **{name.upper(): (_SHIFT, code) for name, code in KEYS.items() if len(name) == 1 and name.isalpha()},
    **{shifted: (_SHIFT, KEYS[digit]) for digit, shifted in zip("1234567890", "!@#$%^&*()", strict=True)},
    **{marks[0]: (code,) for code, marks in _PUNCTUATION.values()},
    **{marks[1]: (_SHIFT, code) for code, marks in _PUNCTUATION.values()},
}


def combination(names: str) -> Chord:
    """Return the keys of ``ctrl-alt-delete``.

    Raises
    ------
    Invalid
        There is no key of such a name.
    """
    parts = names.split("-")
    for name in parts:
        if name not in KEYS:
            raise Invalid(f"There is no key {name!r}; there are {', '.join(KEYS)}.")
    return tuple(dict.fromkeys(KEYS[name] for name in parts))


def typed(text: str) -> Iterator[Chord]:
    """Yield what is pressed, one after the other, to type a text.

    Raises
    ------
    Invalid
        It has a character that the keyboard does not have.
    """
    for character in text.replace("\r\n", "\n"):
        if character not in _TYPED:
            raise Invalid(
                f"The machine's keyboard has no {character!r}, it types ASCII only. Bring the text into the "
                "machine in another way."
            )
        yield _TYPED[character]


def pressed(text: str, keys: Iterable[str]) -> list[Chord]:
    """Return all that is pressed: the text, then the keys."""
    return [*typed(text), *map(combination, keys)]
