"""What a reader makes of a feed."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations at run time

import msgspec

from cernvmapi.errors import SourceFailed
from cernvmapi.models import Entry, FeedKind  # noqa: TC001

MOST_ENTRIES = 20_000

_ARCHITECTURES = {
    **dict.fromkeys(("amd64", "x64", "x86-64"), "x86_64"),
    **dict.fromkeys(("x86", "ia32", "i386", "i486", "i586", "x86_pae"), "i686"),
    "arm64": "aarch64",
    "ppc64el": "ppc64le",
}
"""Other names of them, as Debian, Docker and the makers of processors use them."""

_LARGEST = 2**60
"""An exbibyte: what is above it is no size."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A feed, read."""

    kind: FeedKind
    title: str = ""
    description: str = ""
    expires: datetime | None = None
    signer: str | None = None
    """Who signed it; None where that was not checked."""
    entries: list[Entry] = []


def checked(document: Document) -> Document:
    """Return the document with each guid once, the first one's entry, and architectures as libvirt says them.

    Raises
    ------
    SourceFailed
        It has more entries than anybody looks at.
    """
    if len(document.entries) > MOST_ENTRIES:
        raise SourceFailed(
            f"The feed has {len(document.entries)} entries and {MOST_ENTRIES} are read at most; ask its "
            "publisher for a shorter one."
        )
    unique: dict[str, Entry] = {}
    for entry in document.entries:
        said = msgspec.structs.replace(entry, arch=architecture(entry.arch))
        unique.setdefault(entry.guid, said)
    return msgspec.structs.replace(document, entries=list(unique.values()))


def architecture(word: str) -> str:
    """Return libvirt's name of an architecture; what is not known as it is."""
    return _ARCHITECTURES.get(word.lower(), word)


def count(value: object, largest: int = _LARGEST) -> int | None:
    """Return a whole number above 0 that a feed wrote, as number or text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip() if isinstance(value, str) else value
    if isinstance(text, str):
        if not (text.isascii() and text.isdigit() and len(text) <= 20):  # noqa: PLR2004 - digits of 2**64
            return None
        text = int(text)
    return text if 0 < text <= largest else None


def mebibytes(size: int | None) -> int | None:
    """Return bytes as MiB, rounded up."""
    return None if size is None else -(-size // 2**20)
