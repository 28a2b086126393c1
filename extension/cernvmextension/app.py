"""The extension's configuration and life.

The door acts with the token of the notebook server, that is with the rights of the server's *owner*. So it
opens to the owner only: where JupyterHub says whose server this is, a visitor of a shared server is refused,
whatever the server's own authoriser thinks of them.
"""

from __future__ import annotations

import os

from jupyter_server.extension.application import ExtensionApp
from traitlets import Unicode, default

import cernvmviews
from cernvmapi.models import API_PREFIX
from cernvmextension import controller
from cernvmextension.controller import Controller
from cernvmextension.handlers import ApiHandler, EventsHandler, HealthHandler, ViewHandler


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

    _controller: Controller | None = None
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
                (rf"/cernvm/api/{version}/(.+)", ApiHandler, door),
                (rf"/cernvm/views/({cernvmviews.NAME})", ViewHandler, door),
                (r"/cernvm/health", HealthHandler, door),
            ],
        )

    async def stop_extension(self) -> None:
        """Close the connections to the controller."""
        if self._controller is not None:
            await self._controller.close()
            self._controller = None
