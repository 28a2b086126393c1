"""The package's own templates; everything that is put into them is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from datetime import datetime

_MIB_PER_GIB = 1024


def _size(mib: int) -> str:
    """Return a size as people write it: ``512 MiB``, ``1.5 GiB``."""
    if mib < _MIB_PER_GIB:
        return f"{mib} MiB"
    return f"{mib / _MIB_PER_GIB:.3g} GiB"


def _day(instant: datetime) -> str:
    return f"{instant.day} {instant:%B %Y}"


def environment() -> jinja2.Environment:
    """Return a new environment of the package's templates."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("cernvmspawner"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(size=_size, day=_day)
    return made


_ENVIRONMENT = environment()


def render(template: str, **values: Any) -> str:
    """Return a template of this package, filled in."""
    return _ENVIRONMENT.get_template(template).render(**values)
