"""Whether the controller works."""

from __future__ import annotations

from datetime import datetime

from msgspec import field

from cernvmapi.models.base import Sent


class ComponentHealth(Sent, frozen=True, kw_only=True):
    """One part of the controller."""

    name: str
    status: str
    """``ok``, ``degraded`` or ``down``."""
    detail: str = ""
    """A sentence that says what is wrong and what to do."""
    since: datetime | None = None
    """Since when it is so, as far as this controller saw."""


class Health(Sent, frozen=True, kw_only=True):
    """Whether the controller works; ``degraded`` serves, with something missing."""

    status: str
    """``ok``, ``degraded`` or ``down``: it can do nothing for anybody."""
    version: str = ""
    """This and the rest are for administrators, and for services that may read."""
    hub_id: str = ""
    start_timeout: float = 0
    """Seconds after which a start has ended or says why not, the copying of an appliance left aside."""
    components: list[ComponentHealth] = field(default_factory=list)
