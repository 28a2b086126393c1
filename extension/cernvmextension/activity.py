"""A server whose kernel computes is in use, also when nobody looks and the cell prints nothing.

Jupyter Server counts a kernel's messages, requests and what is typed in a terminal. A fit that says nothing
for twelve hours is none of these, and whoever ends idle servers would end it. Jupyter Server takes the newest
of all its settings whose names end with ``_last_activity`` (``ServerWebApplication.last_activity``), and
``jupyterhub-singleuser`` tells the hub: this one is kept fresh while a kernel is busy.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from jupyter_core.utils import ensure_async
from tornado.ioloop import PeriodicCallback

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

SETTING = "cernvm_busy_kernel_last_activity"


class BusyKernels:
    """Looks at the kernels of a server every now and then.

    Parameters
    ----------
    server
        Whose kernels count.
    interval
        Seconds from look to look.
    """

    def __init__(self, server: ServerApp, interval: float) -> None:
        self._server = server
        self._known: WeakSet[Any] = WeakSet()
        self._timer = PeriodicCallback(self.look, interval * 1000)

    def start(self) -> None:
        """Begin to look."""
        self._timer.start()

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    async def look(self) -> None:
        """Count now as activity if a kernel is busy now."""
        kernels = await ensure_async(self._server.kernel_manager.list_kernels())  # type: ignore[no-untyped-call]
        for each in kernels:
            self._meet(self._server.kernel_manager.get_kernel(each["id"]))
        if any(kernel["execution_state"] == "busy" for kernel in kernels):
            self._server.web_app.settings[SETTING] = datetime.now(UTC)

    def _meet(self, kernel: Any) -> None:
        """See to it that a kernel that dies is not busy: the first message of its successor can be missed."""
        if kernel not in self._known:
            self._known.add(kernel)
            kernel.add_restart_callback(lambda: setattr(kernel, "execution_state", "starting"), "restart")
