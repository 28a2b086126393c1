"""lxml's element maker with the types that lxml's stubs leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from lxml.builder import ElementMaker  # type: ignore[import-not-found, unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element


class MakeOne(Protocol):
    """Makes elements of one name: children, texts and mappings of attributes, then attributes."""

    def __call__(self, *content: _Element | str | Mapping[str, str], **attributes: str) -> _Element:
        """Return the element."""
        ...


class Maker(Protocol):
    """Makes elements: ``E.disk(E.source(file=…), type="file")``."""

    def __call__(
        self, name: str, *content: _Element | str | Mapping[str, str], **attributes: str
    ) -> _Element:
        """Return an element whose name is no Python name."""
        ...

    def __getattr__(self, name: str) -> MakeOne:
        """Return what makes elements called `name`."""
        ...


E = cast("Maker", ElementMaker())
"""Makes elements without a namespace."""


def in_namespace(prefix: str, uri: str) -> Maker:
    """Return a maker of elements in a namespace."""
    return cast("Maker", ElementMaker(namespace=uri, nsmap={prefix: uri}))
