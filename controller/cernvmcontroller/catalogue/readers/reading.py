"""Which reader reads a feed: its first bytes say it, whatever the server says of its type."""

from __future__ import annotations

import json
from typing import Any

from cernvmapi.errors import SourceFailed
from cernvmcontroller.catalogue.readers import hepix, simplestreams, smime, syndication, virtbuilder
from cernvmcontroller.catalogue.readers.clearsign import signed_text
from cernvmcontroller.catalogue.readers.document import Document, checked
from cernvmcontroller.catalogue.readers.text import decoded


def read(content: bytes, url: str, authority: str | None = None) -> Document:
    """Return what a feed says.

    Parameters
    ----------
    content
        As it was fetched.
    url
        Where it was fetched from; links in it are relative to it.
    authority
        Certificates (PEM): only content that they vouch for is read.

    Raises
    ------
    SourceFailed
        It is none of the formats, it is hostile, or it is not signed as it should be.
    """
    signer = None
    if authority is not None:
        if not smime.is_message(content):
            raise SourceFailed(
                "The feed is not signed with S/MIME, and an authority is set for it: it is not read. "
                "Ask its publisher, or take the authority away."
            )
        content, signer = smime.verified(content, authority)
    elif smime.is_message(content):
        content = smime.unverified(content)
    text = signed_text(decoded(content)).lstrip()
    return checked(_document(text, url, signer))


def _document(text: str, url: str, signer: str | None) -> Document:
    if text.startswith("<"):
        return syndication.read(text, url)
    if text.startswith("{"):
        loaded = _json(text)
        if hepix.LIST in loaded:
            return hepix.read(loaded, url, signer)
        return simplestreams.read(loaded, url)
    if text.startswith(("[", "#")):
        return virtbuilder.read(text, url)
    raise SourceFailed(
        "What is there is no feed: neither RSS, Atom, HEPiX, simplestreams nor virt-builder. "
        "Look whether the URL is the feed's own, not a page about it."
    )


def _json(text: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceFailed("The feed begins as JSON and is not; it may be incomplete.") from None
    return loaded if isinstance(loaded, dict) else {}
