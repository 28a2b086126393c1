"""The list of one's own machines, in a notebook."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anywidget
import traitlets as t

from cernvmapi.client import Client
from cernvmapi.errors import CernVMError
from cernvmwidgets.rows import row, text_table

if TYPE_CHECKING:
    from cernvmapi.models import Machine, Page

SHOWN = 100
"""Machines that the list shows at most; a person with more of them wants a filter, not a longer list."""


class MachineLister(Protocol):
    """The one verb that the widget needs of ``Client.machines``."""

    def list(self, *, owner: str | None = ..., limit: int = ...) -> Page[Machine]:
        """Return a page of machines."""


class MyMachines(anywidget.AnyWidget):
    """One's machines, with a button that asks again.

    Parameters
    ----------
    client
        Whom to ask; by default the controller that the notebook's own environment names. The client and its
        token stay in the kernel: the browser gets only what the list shows.
    owner
        Whose machines; by default those of the hub user who owns this notebook server. Somebody else's are
        shown only to those who may read them.

    Examples
    --------
    >>> from cernvmwidgets import MyMachines
    >>> MyMachines()  # doctest: +SKIP
    """

    _esm = Path(__file__).with_name("mymachines.js")
    _css = Path(__file__).with_name("mymachines.css")

    rows = t.List(t.Dict(), help="What is shown, one entry a machine.").tag(sync=True)
    total = t.Int(0, help="How many machines there are, shown or not.").tag(sync=True)
    error = t.Unicode("", help="Why the list could not be read; empty when it could.").tag(sync=True)
    busy = t.Bool(default_value=False, help="The controller is being asked.").tag(sync=True)
    asked = t.Unicode("", help="When the shown list was read (ISO 8601, UTC).").tag(sync=True)

    def __init__(self, client: Client | None = None, *, owner: str | None = None) -> None:
        super().__init__()
        self._client = client
        self._owner = owner or os.environ.get("JUPYTERHUB_USER")
        self.on_msg(self._heard)
        self.refresh()

    def refresh(self) -> None:
        """Read the list again. What was shown stays when that fails, with the reason above it."""
        self.busy = True
        try:
            page = self._machines().list(owner=self._owner, limit=SHOWN)
        except CernVMError as failure:
            self.error = failure.detail
        else:
            with self.hold_sync():
                self.rows = [dict(row(machine)) for machine in page.items]
                self.total = page.total
                self.error = ""
                self.asked = datetime.now(UTC).isoformat(timespec="seconds")
        finally:
            self.busy = False

    def _machines(self) -> MachineLister:
        if self._client is None:
            self._client = Client()
        machines: MachineLister = self._client.machines
        return machines

    def _heard(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("type") == "refresh":
            self.refresh()

    def __str__(self) -> str:
        """Return the list as plain text."""
        lines = [self.error] if self.error else []
        if self.rows:
            lines.append(text_table(self.rows))
            lines += [f"{each['name']}: {each['detail']}" for each in self.rows if each["detail"]]
        elif not self.error:
            lines.append("You have no machines.")
        if self.total > len(self.rows):
            lines.append(f"The first {len(self.rows)} of {self.total} machines.")
        return "\n".join(lines)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        shown, about = bundle
        return {**shown, "text/plain": str(self)}, about
