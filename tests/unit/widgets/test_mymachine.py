"""The machine that a notebook runs in."""

import pytest

from cernvmapi.errors import NotFound
from cernvmwidgets import MyMachine
from cernvmwidgets import mymachine as module


def test_a_notebook_shows_the_machine_that_it_runs_in(monkeypatch):
    monkeypatch.setattr(module.socket, "gethostname", lambda: "m-abcdefgh2345.internal")
    shown = MyMachine()
    assert (shown.room, shown.machine, shown.through) == ("infrastructure", "m-abcdefgh2345", "server")


def test_elsewhere_one_names_a_machine(monkeypatch):
    monkeypatch.setattr(module.socket, "gethostname", lambda: "laptop")
    with pytest.raises(NotFound, match="laptop, which is no machine of the hub"):
        MyMachine()
    assert MyMachine(machine="m-abcdefgh2345").machine == "m-abcdefgh2345"
