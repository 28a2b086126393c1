"""The machine that a notebook runs in, shown in that notebook."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from cernvmapi.errors import NotFound
from cernvmwidgets.dashboard import Dashboard

if TYPE_CHECKING:
    from cernvmapi.client import Client

_ID = re.compile(r"m-[a-z2-7]{12}")


class MyMachine(Dashboard):
    """The machine that this notebook runs in: what it has and used, its snapshots, size and commands.

    Parameters
    ----------
    client
        Whom to ask; by default the notebook server.
    machine
        Id of another machine.

    Raises
    ------
    NotFound
        The notebook runs in no machine of the hub, and none was named.

    Examples
    --------
    >>> from cernvmwidgets import MyMachine
    >>> MyMachine()  # doctest: +SKIP
    """

    def __init__(self, client: Client | None = None, *, machine: str | None = None) -> None:
        super().__init__(client, room="infrastructure")
        self.machine = machine or this_machine()


def this_machine() -> str:
    """Return the id of the machine that this runs in: the hub names machines by their ids.

    Raises
    ------
    NotFound
        It is none of the hub's.
    """
    name = socket.gethostname().partition(".")[0]
    if _ID.fullmatch(name) is None:
        raise NotFound(
            f"This notebook runs on {name}, which is no machine of the hub; name one: MyMachine(machine=…)."
        )
    return name
