"""simplestreams: the product lists (``products:1.0``) by which Ubuntu and others publish cloud images.

A list names files relative to the folder above its own ``streams/``. One entry is made of each version of a
product; kernels, archives and manifests are left out.
"""

from __future__ import annotations

import re
from typing import Any

from cernvmapi.errors import SourceFailed
from cernvmapi.models import Enclosure, Entry, FeedKind
from cernvmcontroller.catalogue.readers.dates import instant
from cernvmcontroller.catalogue.readers.document import Document, count
from cernvmcontroller.catalogue.readers.links import link
from cernvmcontroller.catalogue.readers.text import word

_TYPES = {
    ".img": "application/x-qemu-disk",
    ".qcow2": "application/x-qemu-disk",
    ".raw": "application/x-raw-disk-image",
    ".vmdk": "application/x-vmdk",
    ".ova": "application/x-virtualbox-ova",
    ".vhd": "application/x-vhd",
    ".iso": "application/x-iso9660-image",
}
_PACKED = re.compile(r"\.(gz|xz|zst|bz2)$")


def read(content: dict[str, Any], url: str) -> Document:
    """Read a product list.

    Raises
    ------
    SourceFailed
        It is an index of such lists, or nothing of the kind.
    """
    root = url.partition("/streams/")[0] + "/" if "/streams/" in url else url
    if isinstance(index := content.get("index"), dict):
        lists = [link(root, each.get("path")) for each in index.values() if isinstance(each, dict)]
        names = ", ".join(each for each in lists[:10] if each)
        raise SourceFailed(f"This is an index of simplestreams lists; add the ones you want: {names}.")
    products = content.get("products")
    if not isinstance(products, dict):
        raise SourceFailed("This is JSON, but neither simplestreams nor an image list.")
    entries: list[Entry] = []
    for key, product in products.items():
        versions = product.get("versions") if isinstance(product, dict) else None
        if isinstance(versions, dict):
            entries += [
                _entry(f"{key}/{serial}", product, serial, version, root)
                for serial, version in versions.items()
                if isinstance(version, dict)
            ]
    title = word(content.get("content_id"))
    return Document(kind=FeedKind.SIMPLESTREAMS, title=title, description=title, entries=entries)


def _entry(guid: str, product: dict[str, Any], serial: str, version: dict[str, Any], root: str) -> Entry:
    name = next(
        (word(product[key]) for key in ("release_title", "release", "version") if product.get(key)), ""
    )
    system = word(product.get("os"))
    arch = word(product.get("arch"), 32)
    items = version.get("items")
    return Entry(
        guid=word(guid),
        title=" ".join(filter(None, [system, name, arch])) or word(guid),
        description=word(version.get("pubname")),
        category=word(version.get("label") or product.get("release"), 64),
        updated=instant(serial),
        updated_text=word(serial),
        enclosures=_enclosures(items, root) if isinstance(items, dict) else [],
        version=word(serial),
        arch=arch,
        os=" ".join(filter(None, [system, word(product.get("version"))])),
        expires=instant(word(product.get("support_eol"))),
        context=["nocloud"],  # what simplestreams lists are cloud images
    )


def _enclosures(items: dict[str, Any], root: str) -> list[Enclosure]:
    found = []
    for item in items.values():
        path = item.get("path") if isinstance(item, dict) else None
        if not isinstance(path, str):
            continue
        kind = next((mime for end, mime in _TYPES.items() if _PACKED.sub("", path).endswith(end)), None)
        address = link(root, path)
        if kind is None or address is None:
            continue
        checksums = {
            name: value.lower()
            for name, digits in (("sha256", 64), ("sha512", 128))
            if isinstance(value := item.get(name), str) and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value)
        }
        length = count(item.get("size"))
        found.append(Enclosure(url=address, length=length, type=kind, checksums=checksums))
    return found[:16]
