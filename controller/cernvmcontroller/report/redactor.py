"""Takes secrets out of texts: those that are known, and what looks like one.

All that goes into a report passes here. What is taken out too much does no harm; what is left in does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK = "[secret]"
_SHORTEST = 8
"""Characters of a known secret that is looked for; a shorter one is in every other word."""

_WORDS = r"token|secret|passw(?:or)?d|passphrase|api[_-]?key|private[_-]?key|cookie|authorization|credential"
SECRET_NAME = re.compile(rf"(?i)(?:{_WORDS})")
"""A name of what is secret."""

_PATTERNS = (
    # PEM: keys, not certificates, which everybody may see; one that is cut off at either end too.
    (
        re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        MASK,
    ),
    # URLs with a password, and what is called a secret in a query.
    (re.compile(r"(\w[\w+.-]*://)[^\s/@:\"']*:[^\s/@\"']*@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic|token)(\s+)[A-Za-z0-9+/._~-]{16,}=*"), rf"\1\2{MASK}"),
    # name = value, in Python, JSON, YAML, the environment and headers.
    (
        re.compile(
            rf"(?i)([\w.-]*(?:{_WORDS})[\w.-]*[\"']?\s*[:=]\s*)(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
        ),
        rf'\1"{MASK}"',
    ),
    (
        re.compile(
            rf"(?i)([\w.-]*(?:{_WORDS})[\w.-]*[\"']?\s*[:=]\s*)(?![\[{{\"'])(?!null\b|None\b)[^\s,;&}}\])\"']+"
        ),
        rf"\1{MASK}",
    ),
    # JSON Web Tokens.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
)


class Redactor:
    """Takes out secrets and, where it is asked to, who people are.

    Parameters
    ----------
    secrets
        Values that are known to be secret; short ones are left out.
    people
        What to write in place of names.
    """

    def __init__(self, secrets: Iterable[str], people: Mapping[str, str] | None = None) -> None:
        known = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
        self._secrets = _any_of(known, whole=False)
        self._people = {form: alias for name, alias in (people or {}).items() for form in _spellings(name)}
        self._names = _any_of(self._people, whole=True)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        if self._names is not None:
            text = self._names.sub(lambda match: self._people[match[0]], text)
        return text

    def values(self, content: Any) -> Any:
        """Return what JSON can hold with its texts, keys too, without secrets.

        They are looked through before they are written as JSON, in which a line's end is a letter.
        """
        match content:
            case str():
                return self.text(content)
            case dict():
                return {self.text(str(key)): self.values(value) for key, value in content.items()}
            case list() | tuple() | set() | frozenset():
                return [self.values(value) for value in content]
            case None | bool() | int() | float():
                return content
            case _:
                return self.text(str(content))


def pseudonyms(names: Iterable[str], key: bytes) -> dict[str, str]:
    """Return a name for each name: the same in every report of an installation, and not to be guessed.

    Parameters
    ----------
    key
        A secret of the installation.
    """
    return {
        name: f"someone-{hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:8]}"
        for name in names
        if name
    }


def _forms(secret: str) -> Iterator[str]:
    """Return how a secret may be written; of a key in PEM its lines."""
    lines = [line.strip() for line in secret.strip().splitlines()]
    for value in {secret.strip(), *(line for line in lines if not line.startswith("-----"))}:
        yield value
        yield quote(value, safe="")
        yield json.dumps(value)[1:-1]
        yield base64.b64encode(value.encode()).decode().rstrip("=")


def _spellings(name: str) -> set[str]:
    written = {name, name.casefold()}
    return written | {quote(form, safe="") for form in written} | {json.dumps(form)[1:-1] for form in written}


def _any_of(words: Iterable[str], *, whole: bool) -> re.Pattern[str] | None:
    # The longest first, so that no part of one is left.
    ordered = sorted(set(words), key=lambda word: (-len(word), word))
    if not ordered:
        return None
    alternatives = "|".join(map(re.escape, ordered))
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)" if whole else alternatives)
