"""Dates as feeds write them: RFC 822, ISO 8601, what a programming language prints, and serial numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SERIAL = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[._-]\d+)?")
_YEARS = range(1970, 2201)


def instant(text: str) -> datetime | None:
    """Return the instant that a text means; None where nobody can tell.

    Without a zone it is taken as UTC: who wants to know more reads the text itself.
    """
    found = _iso(text.strip()) or _rfc822(text) or _serial(text.strip())
    if found is None:
        return None
    try:
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None
    return found if found.year in _YEARS else None


def _iso(text: str) -> datetime | None:
    if "-" not in text:
        return None  # eight digits are a serial, and a week of a year is no date that feeds write
    try:
        return datetime.fromisoformat(text.replace("z", "Z"))
    except ValueError:
        return None


def _rfc822(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _serial(text: str) -> datetime | None:
    match = _SERIAL.fullmatch(text)
    try:
        return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC) if match else None
    except ValueError:
        return None
