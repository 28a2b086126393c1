"""HEPiX image lists (vmcatcher, EGI): JSON, usually signed with S/MIME."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cernvmapi.errors import SourceFailed
from cernvmapi.models import Enclosure, Entry, FeedKind
from cernvmcontroller.catalogue.readers.dates import instant
from cernvmcontroller.catalogue.readers.document import Document, count
from cernvmcontroller.catalogue.readers.links import link
from cernvmcontroller.catalogue.readers.text import plain, word

if TYPE_CHECKING:
    from datetime import datetime

LIST = "hv:imagelist"

_TYPES = {
    "ova": "application/x-virtualbox-ova",
    "qcow2": "application/x-qemu-disk",
    "raw": "application/x-raw-disk-image",
    "vmdk": "application/x-vmdk",
}


def read(content: dict[str, Any], url: str, signer: str | None) -> Document:
    """Read an image list.

    Raises
    ------
    SourceFailed
        It is none.
    """
    listed = content.get(LIST)
    if not isinstance(listed, dict):
        raise SourceFailed("This is JSON, but no HEPiX image list.")
    expires = instant(word(listed.get("dc:date:expires")))
    images = listed.get("hv:images")
    created = word(listed.get("dc:date:created"))
    return Document(
        kind=FeedKind.HEPIX,
        title=word(listed.get("dc:title")),
        description=plain(listed.get("dc:description"), 2000),
        expires=expires,
        signer=signer,
        entries=[
            _entry(each["hv:image"], url, created, expires, number)
            for number, each in enumerate(images if isinstance(images, list) else [])
            if isinstance(each, dict) and isinstance(each.get("hv:image"), dict)
        ],
    )


def _entry(image: dict[str, Any], url: str, created: str, expires: datetime | None, number: int) -> Entry:
    updated = word(image.get("dc:date:created")) or created
    own = instant(word(image.get("dc:date:expires")))
    address = link(url, image.get("hv:uri"))
    checksums = {
        name: value.lower()
        for name, digits in (("sha256", 64), ("sha512", 128))
        if isinstance(value := image.get(f"sl:checksum:{name}"), str)
        and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value)
    }
    form = word(image.get("hv:format"), 32).lower()
    length = count(image.get("hv:size"))
    kind = _TYPES.get(form, form)
    system = [word(image.get(key), 64) for key in ("sl:osname", "sl:osversion")]
    return Entry(
        guid=word(image.get("dc:identifier")) or f"image {number}",
        title=word(image.get("dc:title")) or "(no title)",
        description=plain(image.get("dc:description")),
        category=word(image.get("hv:hypervisor"), 64),
        updated=instant(updated),
        updated_text=updated,
        enclosures=[Enclosure(url=address, length=length, type=kind, checksums=checksums)] if address else [],
        version=word(image.get("hv:version")),
        arch=word(image.get("sl:arch"), 32),
        os=" ".join(filter(None, system)) or word(image.get("sl:os")),
        min_memory_mib=count(image.get("hv:ram_minimum"), 2**30),
        min_vcpus=count(image.get("hv:core_minimum"), 4096),
        # An image is offered no longer than the list in which it is.
        expires=min(filter(None, [own, expires]), default=None),
    )
