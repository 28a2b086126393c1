"""What is to be downloaded, from what was asked for and what a feed says: pure decisions about trust too."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from cernvmapi.errors import Invalid, SourceFailed
from cernvmcontroller.naming import new_id

if TYPE_CHECKING:
    from cernvmapi.models import ApplianceCreate
    from cernvmcontroller.store.tables import FeedEntryRow, FeedRow

_STRONG = ("sha512", "sha256")
_DIGITS = {"sha256": 64, "sha512": 128}
_LONGEST_ID = 63


class Wanted(Struct, frozen=True, kw_only=True):
    """A download: all that a restarted controller needs to go on with it."""

    id: str
    """Of the appliance that it becomes."""
    title: str
    version: str = ""
    description: str = ""
    arch: str = "x86_64"
    firmware: str = "bios"
    context: list[str] = field(default_factory=lambda: ["nocloud"])
    min_memory_mib: int = 256
    min_vcpus: int = 1
    updated: datetime | None = None
    feed: str | None = None
    entry: str | None = None
    url: str
    mime: str = ""
    length: int | None = None
    """Bytes, where it is known."""
    checksum: tuple[str, str] | None = None
    """Algorithm and hexadecimal digits."""
    checksum_url: str | None = None
    """Where the checksum is instead."""
    allow_http: bool = False
    verifiable: bool
    """Who says the checksum can be believed."""

    @property
    def shown_url(self) -> str:
        """The URL for people and records: what follows a question mark may be the right to fetch it."""
        return self.url.partition("?")[0].partition("#")[0]


def of_entry(request: ApplianceCreate, entry: FeedEntryRow, feed: FeedRow) -> Wanted:
    """Return the download of what a feed offers.

    What a feed says of a file is believed where nobody on the way could have changed it: it was signed, or it
    could only come encrypted. Not so what is left of a feed that has to be read anew, or that expired.

    Raises
    ------
    Invalid
        It offers no file, or nobody can say whether the file is the right one and that was not consented to.
    """
    said = entry.said
    if not said.enclosures:
        raise Invalid(f"{said.title} offers nothing to download; look at its page.")
    if request.sha256 or request.sha512 or request.allow_http:
        raise Invalid("Checksums and allow_http are for what comes from a URL: an entry has its feed's.")
    file = said.enclosures[0]
    checksum = _strongest(file.checksums)
    url = None if checksum else said.checksum_url
    expired = said.expires is not None and said.expires <= datetime.now(UTC)
    current = feed.digest is not None and not expired
    believed = current and (feed.signer is not None or not feed.allow_http)
    if url is not None and not url.startswith("https:"):
        believed = False
    wanted = Wanted(
        id=request.id or said.appliance or _slug(said.title, said.version),
        title=request.title or said.title,
        version=request.version if request.version is not None else said.version,
        description=said.description,
        arch=said.arch or "x86_64",
        firmware=said.firmware or "bios",
        context=[each for each in said.context if each in {"nocloud", "configdrive"}] or ["nocloud"],
        min_memory_mib=said.min_memory_mib or 256,
        min_vcpus=said.min_vcpus or 1,
        updated=said.updated,
        feed=feed.id,
        entry=entry.id,
        url=file.url,
        mime=file.type,
        length=file.length or None,
        checksum=checksum,
        checksum_url=url,
        allow_http=feed.allow_http,
        verifiable=believed and (checksum or url) is not None,
    )
    return _consented(wanted, request)


def of_url(request: ApplianceCreate) -> Wanted:
    """Return the download of what is at a URL.

    Raises
    ------
    Invalid
        It has no title, or no checksum and no consent to that.
    """
    if not request.title:
        raise Invalid("Say what the appliance shall be called: give a title.")
    given = {"sha256": request.sha256 or "", "sha512": request.sha512 or ""}
    checksum = _strongest(given)
    wanted = Wanted(
        id=request.id or _slug(request.title, request.version or ""),
        title=request.title,
        version=request.version or "",
        url=request.url or "",
        checksum=checksum,
        allow_http=request.allow_http,
        verifiable=checksum is not None,
    )
    return _consented(wanted, request)


def digits(text: bytes, name: str) -> tuple[str, str]:
    """Return the checksum that a file of checksums has for a file.

    Parameters
    ----------
    text
        Digits alone, or lines of digits and names as sha256sum writes them.
    name
        Of the file.

    Raises
    ------
    SourceFailed
        It has none.
    """
    lines = [line.split(maxsplit=1) for line in text.decode("ascii", "replace").splitlines() if line.strip()]
    for words in lines:
        named = len(words) > 1 and words[1].lstrip("*").rpartition("/")[2] == name
        alone = len(lines) == 1 and len(words) == 1
        for algorithm, length in _DIGITS.items():
            if (named or alone) and re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", words[0]):
                return algorithm, words[0].lower()
    raise SourceFailed(f"The file of checksums has none for {name}; it is not known what the image must be.")


def _strongest(checksums: dict[str, str]) -> tuple[str, str] | None:
    return next(((name, checksums[name].lower()) for name in _STRONG if checksums.get(name)), None)


def _consented(wanted: Wanted, request: ApplianceCreate) -> Wanted:
    if not wanted.verifiable and not request.unverified:
        raise Invalid(
            f"Nobody can say whether the image of {wanted.title} is what its publisher made: there is no "
            "SHA-256 or SHA-512 of it, or none that came signed or encrypted. Ask for one, or take the risk "
            "with unverified; the appliance stays marked."
        )
    return wanted


def _slug(title: str, version: str) -> str:
    """Return an id that people recognise."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    if version and version.lower() not in title.lower():
        words += re.findall(r"[a-z0-9]+", version.lower())
    return "-".join(words)[:_LONGEST_ID].strip("-") or new_id("a")


def from_details(details: dict[str, object]) -> Wanted:
    """Return what an operation was begun for."""
    return msgspec.convert(details["wanted"], Wanted)
