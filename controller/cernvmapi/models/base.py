"""What all models are made of, and the shapes that every resource uses."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct, field

API_PREFIX = "/services/cernvm/api/v1"
"""Where the controller serves this contract."""

T = TypeVar("T")

_UNSEEN = "\\x00-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069"
"""Controls, line ends, and what turns the direction of reading: a name is one line, and shows itself."""

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=f"^[^{_UNSEEN}]*$(?!\\n)")]
"""What a person typed: any script, never used as a path, a domain name or a certificate name."""

UserName = Annotated[str, Meta(min_length=1, max_length=255)]
"""How JupyterHub calls somebody, whatever its authenticator allows."""

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$(?!\n)")]
"""An identifier that an administrator chose: safe in URLs, paths and XML."""

EnvName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]

OwnerId = Annotated[str, Meta(min_length=1, max_length=255)]
"""An account beyond its name, which another account may get later; opaque, made by the hub."""

Label = Annotated[str, Meta(max_length=255)]

Labels = Annotated[dict[Label, Label], Meta(max_length=32)]
"""Each change of what has them is an event with all of them."""

CpuFeature = Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,64}$")]


class Received(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send."""


class Sent(Struct, frozen=True, kw_only=True):
    """Base of what the controller sends."""


class Problem(Sent, frozen=True, kw_only=True):
    """RFC 9457 problem details, the one shape of every error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """A sentence for the person who reads it; it says what to do next."""
    code: str
    """Stable, for programs: see `cernvmapi.errors`."""
    instance: str | None = None
    """The request id, to be found in the controller's log."""
    errors: list[dict[str, Any]] = field(default_factory=list)


class Page(Sent, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    items: list[T]
    total: int
    next: str | None = None
    """Pass as ``cursor`` for the next page; None on the last one."""
    event_id: int = 0
    """The last event that this page includes: subscribe after it and nothing is missed."""


def encode(obj: Any) -> bytes:
    """Encode a model as JSON."""
    return msgspec.json.encode(obj)
