"""virt-builder's index: INI, a section a template, in an OpenPGP cleartext signature or bare.

Its grammar is in the manual page virt-builder(1), "Creating and signing the index file".
"""

from __future__ import annotations

import configparser
import re

from cernvmapi.errors import SourceFailed
from cernvmapi.models import Enclosure, Entry, FeedKind
from cernvmcontroller.catalogue.readers.document import Document, count, mebibytes
from cernvmcontroller.catalogue.readers.links import link
from cernvmcontroller.catalogue.readers.text import plain, word

_TYPES = {"raw": "application/x-raw-disk-image", "qcow2": "application/x-qemu-disk"}


def read(text: str, url: str) -> Document:
    """Read an index.

    Raises
    ------
    SourceFailed
        It is not in INI form.
    """
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=False, default_section="\0"
    )
    try:
        parser.read_string(text)
    except configparser.Error as error:
        said = word(str(error).replace("\n", " "), 200)
        raise SourceFailed(f"This is not an index of virt-builder: {said}.") from None
    sections = [(name, parser[name]) for name in parser.sections()]
    return Document(
        kind=FeedKind.VIRT_BUILDER,
        entries=[_entry(name, values, url) for name, values in sections if not _hidden(values)],
    )


def _hidden(values: configparser.SectionProxy) -> bool:
    return values.get("hidden", "").strip().lower() in {"true", "yes", "1"}


def _entry(section: str, values: configparser.SectionProxy, url: str) -> Entry:
    address = link(url, values.get("file"))
    digests = {"sha512": values.get("checksum[sha512]") or values.get("checksum"),
               "sha256": values.get("checksum[sha256]")}  # fmt: skip
    checksums = {
        name: value.strip().lower()
        for name, value in digests.items()
        if value and re.fullmatch(rf"[0-9a-fA-F]{{{int(name[3:]) // 4}}}", value.strip())
    }
    length = count(values.get("compressed_size"))
    kind = _TYPES.get(values.get("format", "raw").strip(), "")
    arch = word(values.get("arch"), 32)
    return Entry(
        guid=word(f"{section}/{arch}"),
        title=word(values.get("name")) or word(section),
        description=plain(values.get("notes")),
        enclosures=[Enclosure(url=address, length=length, type=kind, checksums=checksums)] if address else [],
        version=word(values.get("revision") or "1"),
        arch=arch,
        os=word(values.get("osinfo")),
        virtual_size_mib=mebibytes(count(values.get("size"))),
        signature_url=link(url, values.get("sig")),
    )
