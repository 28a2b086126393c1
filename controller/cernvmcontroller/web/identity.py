"""Who asks, and what they may.

The scopes are JupyterHub's custom scopes ``custom:cernvm:read`` ⊂ ``:write`` ⊂ ``:admin``. What is not
granted is denied. A scope with a filter counts only where it names who asks (``!user=alice`` for alice): read
and write are about one's own things anyway; admin never comes with a filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PREFIX = "custom:cernvm:"
READ, WRITE, ADMIN = (PREFIX + name for name in ("read", "write", "admin"))
_GRANTED_BY = {READ: (READ, WRITE, ADMIN), WRITE: (WRITE, ADMIN), ADMIN: (ADMIN,)}


class Kind(Enum):
    """What kind of somebody."""

    USER = "user"
    SERVICE = "service"
    HUB = "hub"
    """JupyterHub itself, that is the spawner in it."""


@dataclass(frozen=True)
class Identity:
    """Somebody who was identified.

    Parameters
    ----------
    scopes
        As JupyterHub expanded them.
    cookie
        Whether a browser said it, by itself, with a cookie.
    """

    name: str
    kind: Kind
    scopes: frozenset[str]
    cookie: bool = False

    def has(self, scope: str) -> bool:
        """Return whether `scope` is granted, by itself or by a higher one."""
        return any(
            granted in self.scopes or (granted != ADMIN and f"{granted}!user={self.name}" in self.scopes)
            for granted in _GRANTED_BY[scope]
        )

    @property
    def admin(self) -> bool:
        """Whether they see and act on everybody's things."""
        return self.kind is Kind.HUB or self.has(ADMIN)

    @property
    def only_owner(self) -> str | None:
        """The owner whose things they see; None: everybody's."""
        # A service owns nothing, be it called as a user is.
        return None if self.admin else self.label

    @property
    def label(self) -> str:
        """How the audit record names them: a service is never mistaken for a user of the same name."""
        return self.name if self.kind is Kind.USER else f"service:{self.name}"


class Access(Enum):
    """Who may use a route."""

    PUBLIC = "public"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    MONITOR = "monitor"
    """Administrators, and services that may read: what Prometheus needs."""

    def allows(self, identity: Identity) -> bool:
        """Return whether `identity` may pass."""
        if identity.kind is Kind.HUB or self is Access.PUBLIC:
            return True
        if self is Access.MONITOR:
            return identity.admin or (identity.kind is Kind.SERVICE and identity.has(READ))
        return identity.has(PREFIX + self.value)

    @property
    def scope(self) -> str | None:
        """The scope that it takes, for people."""
        if self is Access.PUBLIC:
            return None
        return READ if self is Access.MONITOR else PREFIX + self.value
