"""The dashboard of everything one may see, in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import msgspec
import traitlets as t

import cernvmviews
from cernvmapi.client import Client
from cernvmapi.errors import CernVMError, Malformed
from cernvmapi.wire import Call, params

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class Dashboard(anywidget.AnyWidget):
    """Hosts and machines, what is being done and what needs attention, with the commands that are possible.

    In a notebook server of the hub the browser asks the controller by way of that server, so that a busy
    kernel freezes nothing. Elsewhere, and where a client is given, the kernel asks.

    Parameters
    ----------
    client
        Whom to ask instead; its token stays in the kernel.
    room
        What is shown first: ``dashboard`` or ``infrastructure``.

    Examples
    --------
    >>> from cernvmwidgets import Dashboard
    >>> board = Dashboard()  # doctest: +SKIP
    >>> board.selection  # doctest: +SKIP
    ['m-abcdefgh2345']
    """

    _esm = Path(__file__).with_name("dashboard.js")

    room = t.Unicode("dashboard", help="The room that is shown.").tag(sync=True)
    machine = t.Unicode("", help="Id of the machine that is shown whole; empty: none.").tag(sync=True)
    selection = t.List(t.Unicode(), help="Ids of the chosen machines.").tag(sync=True)
    through = t.Enum(("server", "kernel"), "server", help="Who asks the controller.").tag(sync=True)

    def __init__(self, client: Client | None = None, *, room: str = "dashboard") -> None:
        super().__init__(room=room, through="server" if client is None else "kernel")
        self._client = client
        self.on_msg(self._heard)

    def _heard(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        match content:
            case {"type": "views"}:
                self.send({"type": "views"} | _views())
            case {"type": "ask", "id": int(number)}:
                self.send({"type": "answer", "id": number} | self._answer(content))

    def _answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the controller answers to a view's question."""
        try:
            if self._client is None:
                self._client = Client()
            text = self._client.send(_call(question))
        except CernVMError as failure:
            return {"status": failure.status, "body": msgspec.to_builtins(failure.problem())}
        return {"status": 200, "body": msgspec.json.decode(text) if text else None}

    def __str__(self) -> str:
        """Return what to do where there are no widgets."""
        return "The dashboard of CernVM Hub is shown where notebooks have widgets; in code, use Client()."

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        shown, about = bundle
        return {**shown, "text/plain": str(self)}, about


def _call(question: Mapping[str, Any]) -> Call[str]:
    """Return the request that a view asks for.

    Raises
    ------
    Malformed
        When it is none.
    """
    match question:
        case {"method": str(method), "path": str(path), "query": dict(query)} if method in METHODS:
            if path.startswith("/") or ".." in path or "//" in path:
                raise Malformed(f"{path[:40]!r} is no path of the API.")
            return Call(method, f"/{path}", str, params(**query), question.get("body"))
    raise Malformed("A view asked for something that is no request of the API.")


def _views() -> dict[str, str]:
    try:
        script, css = (cernvmviews.read(name).content.decode() for name in ("inline.js", "views.css"))
    except (cernvmviews.NotBuilt, FileNotFoundError):
        return {"error": str(cernvmviews.NotBuilt())}
    return {"script": script, "css": css}
