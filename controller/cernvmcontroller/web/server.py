"""The two listeners: behind the proxy, and with TLS of its own on the machines' networks."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from jupyterhub.httpclient import JupyterHubHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from cernvmcontroller.web.api import LARGEST_IGNORED
from cernvmcontroller.web.application import make_application
from cernvmcontroller.web.logs import logger
from cernvmcontroller.web.tls import own_context, renew

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from tornado.web import Application

    from cernvmcontroller.web.services import Services
    from cernvmcontroller.web.tls import ServerCertificate

log = logger(__name__)

DAY = 24 * 3600.0
_LARGEST_HEADER = 64 * 1024
_GRACE = 5.0


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Listeners:
    """All sockets of the controller.

    Parameters
    ----------
    services
        What the handlers share.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._servers: list[HTTPServer] = []
        self._renewal: asyncio.Task[None] | None = None

    def listen_behind_proxy(self, address: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen for the proxy and return the port.

        Parameters
        ----------
        context
            With mutual TLS, of the hub's ``internal_ssl``; None where the hub runs without it.
        """
        return self._listen(make_application(self._services, proxied=True), [(address, port)], context)[0]

    def listen_with_own_tls(
        self, places: Sequence[tuple[str, int]], files: ServerCertificate, names: Sequence[str]
    ) -> list[int]:
        """Listen on the machines' networks and return the ports; the certificate is renewed in time."""
        context = own_context(files)
        ports = self._listen(make_application(self._services, proxied=False), places, context)
        self._renewal = asyncio.create_task(self._renew(context, files.ca.parent, names))
        return ports

    def _listen(
        self, application: Application, places: Sequence[tuple[str, int]], context: ssl.SSLContext | None
    ) -> list[int]:
        options: dict[str, Any] = {"max_body_size": LARGEST_IGNORED, "max_header_size": _LARGEST_HEADER}
        server = HTTPServer(application, ssl_options=context, **options)
        ports = []
        for address, port in places:
            sockets = bind_sockets(port, address, family=_family(address))
            server.add_sockets(sockets)
            ports.append(int(sockets[0].getsockname()[1]))
            log.info("listening", address=address, port=ports[-1], tls=context is not None)
        self._servers.append(server)
        return ports

    async def _renew(self, context: ssl.SSLContext, directory: Path, names: Sequence[str]) -> None:
        while True:
            await asyncio.sleep(DAY)
            try:
                await asyncio.to_thread(renew, context, directory, names)
            except Exception:
                log.exception("the controller's certificate could not be renewed")

    async def close(self) -> None:
        """Stop listening, end the event streams, and let what is being answered be answered."""
        if self._renewal is not None:
            self._renewal.cancel()
        for server in self._servers:
            server.stop()
        await self._services.finish(_GRACE)
        for server in self._servers:
            await server.close_all_connections()
        # The session with the hub holds a resolver, which holds one of the user's few inotify instances.
        await JupyterHubHTTPClient.loop_instance().close()
