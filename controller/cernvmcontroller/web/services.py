"""What all handlers share: the engine, who may ask, and what is open."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cernvmapi.models import encode
from cernvmapi.wire import HEARTBEAT
from cernvmcontroller.web import openapi
from cernvmcontroller.web.auth import HubUsers, SharedSecret
from cernvmcontroller.web.metrics import Metrics
from cernvmcontroller.web.routes import ROUTES
from cernvmcontroller.web.tickets import Tickets
from cernvmcontroller.web.viewers import Viewers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyterhub.services.auth import HubOAuth

    from cernvmcontroller.web.auth import Authenticator
    from cernvmcontroller.web.engine import Engine

RECHECK = 60.0
PATIENCE = 30.0
_BRIEFLY = 0.02


@dataclass
class Services:
    """What all handlers share.

    Parameters
    ----------
    engine
        What does the work.
    hub
        JupyterHub's client, for browsers' log-in and XSRF.
    authenticators
        Asked in their order.
    heartbeat
        Seconds of silence on an event stream after which it says that it is still there.
    recheck
        Seconds after which it is asked again whether who listens to a stream still may.
    patience
        Seconds that a viewer of a console may take nothing of what is sent to it.
    """

    engine: Engine
    hub: HubOAuth
    authenticators: Sequence[Authenticator]
    metrics: Metrics = field(default_factory=Metrics)
    document: bytes = field(default_factory=lambda: encode(openapi.document(ROUTES)))
    heartbeat: float = HEARTBEAT
    recheck: float = RECHECK
    patience: float = PATIENCE
    tickets: Tickets = field(default_factory=Tickets, repr=False)
    """For consoles."""
    viewers: Viewers = field(default_factory=Viewers)
    """Of consoles."""
    streams: set[asyncio.Task[None]] = field(default_factory=set)
    """The open event streams and consoles."""
    cookie_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    open_requests: set[object] = field(default_factory=set)
    """The requests that are being answered."""

    async def finish(self, seconds: float) -> None:
        """End all event streams and consoles; let what is being answered be answered, for some seconds."""
        for stream in tuple(self.streams):
            stream.cancel()
        deadline = time.monotonic() + seconds
        while self.open_requests and time.monotonic() < deadline:  # noqa: ASYNC110 - at the end only
            await asyncio.sleep(_BRIEFLY)


def make_services(engine: Engine, hub: HubOAuth, hub_token: str, **more: Any) -> Services:
    """Return services where the spawner is known by the shared secret and everybody else by JupyterHub."""
    return Services(engine, hub, (SharedSecret(hub_token), HubUsers(hub)), **more)
