"""The extension's configuration and life.

It keeps a server in use whose kernel is busy (`activity`), and opens a door to the controller.

The door acts with the token of the notebook server, that is with the rights of the server's *owner*. So it
opens to the owner only: where JupyterHub says whose server this is, a visitor of a shared server is refused,
whatever the server's own authoriser thinks of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Unicode, default

import cernvmviews
from cernvmapi.models import API_PREFIX
from cernvmextension import controller
from cernvmextension.activity import BusyKernels
from cernvmextension.consoles import ConsoleHandler
from cernvmextension.controller import Controller
from cernvmextension.handlers import ApiHandler, EventsHandler, HealthHandler, ViewHandler

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


class CernVMExtension(ExtensionApp):
    """Forward what a notebook's page asks about its owner's machines to the controller."""

    name = "cernvmextension"

    controller_url = Unicode(
        help="""URL of the controller's API; by default what the machine's environment says
        (``CERNVM_API_URL``).""",
    ).tag(config=True)

    controller_ca = Unicode(
        help="""File with the certificate of the authority that signed the controller's certificate; by
        default ``CERNVM_API_CA``. Empty: the system's authorities.""",
    ).tag(config=True)

    owner = Unicode(
        help="""Hub user who owns this server; everybody else is refused. By default ``JUPYTERHUB_USER``.
        Empty: this server does not belong to a hub, and whoever may log in may ask.""",
    ).tag(config=True)

    busy_interval = Float(
        60.0,
        help="""Seconds from look to look whether a kernel is busy. A server with a busy kernel counts as
        used, also when its cell prints nothing and nobody has its page open. 0: do not look.""",
    ).tag(config=True)

    _controller: Controller | None = None
    _busy_kernels: BusyKernels | None = None
    streams = 0
    """Pages that follow the events now."""

    @default("controller_url")
    def _default_controller_url(self) -> str:
        return os.environ.get("CERNVM_API_URL", "")

    @default("controller_ca")
    def _default_controller_ca(self) -> str:
        return os.environ.get("CERNVM_API_CA", "")

    @default("owner")
    def _default_owner(self) -> str:
        return os.environ.get("JUPYTERHUB_USER", "")

    @property
    def controller(self) -> Controller:
        """The controller, asked with the owner's token; made when it is first needed.

        The token is read from the environment only: an option could end on a command line.

        Raises
        ------
        ControllerUnreachable
            When nothing says where the controller is.
        """
        if self._controller is None:
            if not self.controller_url:
                raise controller.unknown()
            token = os.environ.get("JUPYTERHUB_API_TOKEN")
            self._controller = Controller(self.controller_url, token, self.controller_ca or None)
        return self._controller

    def initialize_handlers(self) -> None:
        """Add the door's routes; the API's version is that of the controller."""
        door = {"door": self}
        version = API_PREFIX.rpartition("/")[2]
        self.handlers.extend(
            [
                (rf"/cernvm/api/{version}/events", EventsHandler, door),
                (rf"/cernvm/api/{version}/(machines/[^/]+/console/socket)", ConsoleHandler, door),
                (rf"/cernvm/api/{version}/(.+)", ApiHandler, door),
                (rf"/cernvm/views/({cernvmviews.NAME})", ViewHandler, door),
                (r"/cernvm/health", HealthHandler, door),
            ],
        )

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begin to look after busy kernels: the server calls this when its event loop is there."""
        if self.busy_interval > 0:
            self._busy_kernels = BusyKernels(serverapp, self.busy_interval)
            self._busy_kernels.start()

    async def stop_extension(self) -> None:
        """Look at no kernels any more, and close the connections to the controller."""
        if self._busy_kernels is not None:
            self._busy_kernels.stop()
            self._busy_kernels = None
        if self._controller is not None:
            await self._controller.close()
            self._controller = None
