"""Keys and text become what a machine's keyboard sends, and nothing else does."""

import string

import pytest

from cernvmapi.errors import Invalid
from cernvmcontroller.consoles import keyboard

CTRL, ALT, DELETE, SHIFT, ENTER = 29, 56, 111, 42, 28


@pytest.mark.parametrize(
    ("names", "chord"),
    [
        ("ctrl-alt-delete", (CTRL, ALT, DELETE)),
        ("enter", (ENTER,)),
        ("ctrl-alt-f1", (CTRL, ALT, 59)),
        ("ctrl-alt-f12", (CTRL, ALT, 88)),
        ("f10", (68,)),
        ("1", (2,)),
        ("0", (11,)),
        ("p", (25,)),
        ("ctrl-ctrl-c", (CTRL, 46)),
    ],
)
def test_a_combination_is_its_keys(names, chord):
    assert keyboard.combination(names) == chord


@pytest.mark.parametrize("names", ["explode", "ctrl-", "CTRL", "", "ctrl-alt-delete;reboot"])
def test_what_has_no_name_is_not_pressed(names):
    with pytest.raises(Invalid, match="There is no key"):
        keyboard.combination(names)


def test_text_is_typed_with_shift_where_it_takes_one():
    assert list(keyboard.typed("aB1!\n")) == [(30,), (SHIFT, 48), (2,), (SHIFT, 2), (ENTER,)]


def test_all_that_ascii_prints_can_be_typed_and_differently():
    printable = string.digits + string.ascii_letters + string.punctuation + " \n\t"
    chords = list(keyboard.typed(printable))
    assert len(set(chords)) == len(printable)


@pytest.mark.parametrize("text", ["é", "\x1b", "\x00", "a☕"])
def test_what_the_keyboard_does_not_have_is_named(text):
    with pytest.raises(Invalid, match="types ASCII only"):
        list(keyboard.typed(text))


def test_every_key_has_a_code_of_its_own():
    assert len(set(keyboard.KEYS.values())) == len(keyboard.KEYS)
