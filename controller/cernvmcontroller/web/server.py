"""The two listeners: behind the proxy, and with TLS of its own on the machines' networks."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

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

    from tornado.iostream import IOStream
    from tornado.web import Application

    from cernvmcontroller.web.services import Services
    from cernvmcontroller.web.tls import ServerCertificate

log = logger(__name__)

DAY = 24 * 3600.0
LARGEST_HEADER = 64 * 1024
HEADER_TIMEOUT = 30.0
"""Seconds that a client has for TLS and a request's headers, and that an idle connection is kept."""
PROXY_TIMEOUT = 600.0
"""The same for the proxy. It has time-outs of its own for its clients, and keeps connections to here: each
end of one is an instant in which a request could be lost."""
BODY_TIMEOUT = 60.0
"""Seconds that a client has for a request's body."""
MOST_CONNECTIONS = 128
"""From one address of the machines' networks at a time: one machine cannot take the places of all others."""
_GRACE = 5.0


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class BoundedServer(HTTPServer):
    """An HTTP server that gives one address `MOST_CONNECTIONS` at most; this machine itself may have more."""

    def initialize(self, *args: Any, **options: Any) -> None:
        """Begin to count."""
        super().initialize(*args, **options)
        self._open: Counter[str] = Counter()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection, or close it before a byte of it was read."""
        host = str(address[0])
        if self._open[host] >= MOST_CONNECTIONS and not ip_address(host.partition("%")[0]).is_loopback:
            log.warning("too many connections of one address", address=host)
            stream.close()
            return
        self._open[host] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        """Count a connection no longer."""
        super().on_close(server_conn)
        host = str(cast("Any", server_conn).context.remote_ip)
        self._open[host] -= 1
        if not self._open[host]:
            del self._open[host]


class Listeners:
    """All sockets of the controller.

    Parameters
    ----------
    services
        What the handlers share.
    header_timeout, proxy_timeout, body_timeout
        Seconds; see `HEADER_TIMEOUT`, `PROXY_TIMEOUT` and `BODY_TIMEOUT`.
    """

    def __init__(
        self,
        services: Services,
        *,
        header_timeout: float = HEADER_TIMEOUT,
        proxy_timeout: float = PROXY_TIMEOUT,
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self._services = services
        self._header_timeout, self._proxy_timeout, self._body_timeout = (
            header_timeout,
            proxy_timeout,
            body_timeout,
        )
        self._servers: list[BoundedServer] = []
        self._renewal: asyncio.Task[None] | None = None

    def listen_behind_proxy(self, address: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen for the proxy and return the port.

        Parameters
        ----------
        context
            With mutual TLS, of the hub's ``internal_ssl``; None where the hub runs without it.
        """
        application = make_application(self._services, proxied=True)
        return self._listen(application, [(address, port)], context, self._proxy_timeout)[0]

    def listen_with_own_tls(
        self, places: Sequence[tuple[str, int]], files: ServerCertificate, names: Sequence[str]
    ) -> list[int]:
        """Listen on the machines' networks and return the ports; the certificate is renewed in time."""
        context = own_context(files)
        application = make_application(self._services, proxied=False)
        ports = self._listen(application, places, context, self._header_timeout)
        self._renewal = asyncio.create_task(self._renew(context, files.ca.parent, names))
        return ports

    def _listen(
        self,
        application: Application,
        places: Sequence[tuple[str, int]],
        context: ssl.SSLContext | None,
        header_timeout: float,
    ) -> list[int]:
        server = BoundedServer(
            application,
            ssl_options=context,
            max_body_size=LARGEST_IGNORED,
            max_header_size=LARGEST_HEADER,
            idle_connection_timeout=header_timeout,
            body_timeout=self._body_timeout,
        )
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
