"""Where the controller listens: behind the proxy, and with TLS of its own for machines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth

from cernvmcontroller.inventory.localaddresses import is_ours
from cernvmcontroller.statedir import StateError, read_secret
from cernvmcontroller.web.server import Listeners
from cernvmcontroller.web.services import make_services
from cernvmcontroller.web.tls import ensure_certificate, mutual_context

if TYPE_CHECKING:
    import ssl
    from contextlib import AsyncExitStack

    from cernvmcontroller.app import CernVMController
    from cernvmcontroller.engine import Engine

_BIND_RETRY = 0.5


async def listen(app: CernVMController, engine: Engine, stack: AsyncExitStack) -> None:
    """Listen for the proxy and, where the site has it, on the machines' networks; `stack` ends it.

    Raises
    ------
    StateError
        It cannot; the text says where and why.
    """
    hub = HubOAuth(parent=app, cache_max_age=60)
    try:
        services = make_services(engine, hub, read_secret(Path(app.hub_token_file)), metrics=app.metrics)
    except ValueError as error:
        raise StateError(f"The secret in {app.hub_token_file} cannot be used: {error}") from None
    listeners = Listeners(services)
    stack.push_async_callback(listeners.close)
    _listen_behind_proxy(app, listeners, hub)
    if not app.machine_bind:
        return
    places = [(address, port) for address, port in app.machine_bind]
    names = sorted({address for address, _ in places} | {"localhost", *app.tls_names})
    files = ensure_certificate(app.state / "controller-tls", names)
    # The host's address on the machines' network comes with the network, which we make.
    while not all(is_ours(address) for address, _ in places):  # noqa: ASYNC110 - nothing tells when an address comes
        await asyncio.sleep(_BIND_RETRY)
    try:
        listeners.listen_with_own_tls(places, files, names)
    except OSError as error:
        raise StateError(f"The controller cannot listen on {places}: {error.strerror}.") from None


def _listen_behind_proxy(app: CernVMController, listeners: Listeners, hub: HubOAuth) -> None:
    url = urlsplit(app.bind_url)
    secure = url.scheme == "https"
    address, port = url.hostname or "127.0.0.1", url.port or (443 if secure else 80)
    try:
        listeners.listen_behind_proxy(address, port, _proxy_context(app, hub) if secure else None)
    except OSError as error:
        raise StateError(f"The controller cannot listen on {app.bind_url}: {error}.") from None


def _proxy_context(app: CernVMController, hub: HubOAuth) -> ssl.SSLContext:
    return mutual_context(
        Path(app.internal_ssl_cert or hub.certfile),
        Path(app.internal_ssl_key or hub.keyfile),
        Path(app.internal_ssl_client_ca or hub.client_ca),
    )
