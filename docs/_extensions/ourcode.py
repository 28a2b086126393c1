"""What autodoc must be told about this code: which options are ours, and what a verb of the client is."""

from __future__ import annotations

import re
import types
import warnings
from typing import TYPE_CHECKING, Any

from sphinx.util.inspect import safe_getattr
from traitlets import TraitType

from cernvmapi.verb import verb

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def skip_inherited_options(
    _app: Sphinx, _what: str, _name: str, member: object, skip: bool, _options: object
) -> bool | None:
    """Leave out options that a class has from Jupyter or JupyterHub: their documentation has them."""
    if isinstance(member, TraitType):
        owner = member.this_class
        if owner is not None and not owner.__module__.startswith("cernvm"):
            return True
    return skip or None


def look_into_verbs(owner: type, name: str, *default: Any) -> Any:
    """Return what `owner` calls `name`; of a verb the method, with what a caller gets as its result."""
    found = safe_getattr(owner, name, *default)
    if not isinstance(found, verb):
        return found
    method = found.method
    shown = types.FunctionType(method.__code__, method.__globals__, method.__name__, method.__defaults__)
    shown.__kwdefaults__ = method.__kwdefaults__
    shown.__doc__ = method.__doc__
    shown.__module__, shown.__qualname__ = method.__module__, method.__qualname__
    # "Call[Page[Machine]]" is how it is done; "Page[Machine]" is what one gets.
    result = re.fullmatch(r"(?:Call|Steps)\[(.*)\]", method.__annotations__.get("return", ""))
    shown.__annotations__ = {**method.__annotations__, **({"return": result[1]} if result else {})}
    return shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    # autodoc-traits complains about options without help that Jupyter's classes have and that are left out.
    warnings.filterwarnings("ignore", category=FutureWarning, module="autodoc_traits")
    app.connect("autodoc-skip-member", skip_inherited_options)
    app.add_autodoc_attrgetter(type, look_into_verbs)
    return {"parallel_read_safe": True}
