"""Texts of strangers: decoded, without markup, without characters that trick a terminal or a database."""

from __future__ import annotations

import codecs
import re
import unicodedata
from html.parser import HTMLParser

LONGEST_LINE = 255
LONGEST_TEXT = 10_000

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    # An XML declaration without a mark, as the XML recommendation's appendix F tells them apart.
    (b"<\0?\0", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
"""Python's names of the encodings that a feed may declare; whatever else it says is read as UTF-8."""
_UNSEEN = {"script", "style", "head", "template"}
_BREAKS = {"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "ul", "ol", "table"}


def decoded(content: bytes) -> str:
    """Return a document's text, whatever it is encoded in; what cannot be decoded becomes U+FFFD."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace").removeprefix("\ufeff")
    declared = _DECLARED.match(content)
    encoding = "utf-8"
    if declared:
        try:
            name = codecs.lookup(declared[1].decode()).name
        except LookupError:
            name = encoding
        encoding = name if name in _CHARSETS else encoding
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252" if encoding == "utf-8" else encoding, "replace")


class _Text(HTMLParser):
    """Keeps what a person would read of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._unseen += tag in _UNSEEN
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)


def _allowed(character: str) -> bool:
    # Cc: controls. Cf: invisible ones, among them those that turn the direction of reading. Cs: half
    # characters, which no database takes. Co, Cn: of no meaning.
    return character == "\n" or not unicodedata.category(character).startswith("C")


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(each for each in text.replace("\t", " ") if _allowed(each))


def plain(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return a text that may be HTML as plain text of several lines; not a text: an empty one."""
    if not isinstance(value, str):
        return ""
    text = value[: 8 * longest]
    if "<" in text or "&" in text:
        parser = _Text()
        parser.feed(text)
        parser.close()
        text = "".join(parser.parts)
    lines = (" ".join(line.split()) for line in _clean(text.replace("\r", "\n")).split("\n"))
    return _cut("\n".join(line for line in lines if line), longest)


def line(value: object, longest: int = LONGEST_LINE) -> str:
    """Return a text that may be HTML as plain text of one line."""
    return " ".join(plain(value, longest).split())


def word(value: object, longest: int = LONGEST_LINE) -> str:
    """Return a text that is no HTML as one line."""
    return _cut(" ".join(_clean(value[: 8 * longest]).split()), longest) if isinstance(value, str) else ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
