import json
from types import SimpleNamespace

import pytest

from cernvmapi.errors import ControllerUnreachable
from cernvmapi.models import Page
from cernvmwidgets import MyMachines


class Lister:
    """Stands for ``Client.machines``: answers with a page or raises, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def list(self, **query):
        self.asked.append(query)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Page(items=answer, total=len(answer))


def client(*answers):
    return SimpleNamespace(machines=Lister(*answers), token="s3cret-token")


@pytest.fixture
def alice(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")


def test_the_list_shows_the_owners_machines(machine, alice):
    asked = client([machine()])
    shown = MyMachines(asked)
    assert [each["name"] for each in shown.rows] == ["alice"]
    assert (shown.total, shown.error, shown.busy) == (1, "", False)
    assert asked.machines.asked[0]["owner"] == "alice"


def test_somebody_else_can_be_asked_for():
    asked = client([])
    MyMachines(asked, owner="bob")
    assert asked.machines.asked[0]["owner"] == "bob"


def test_the_button_asks_again(machine):
    shown = MyMachines(client([], [machine()]))
    assert shown.rows == []
    shown._handle_custom_msg({"type": "refresh"}, [])
    assert len(shown.rows) == 1


def test_other_messages_do_nothing():
    asked = client([])
    shown = MyMachines(asked)
    shown._handle_custom_msg({"type": "delete"}, [])
    assert len(asked.machines.asked) == 1


def test_a_failure_is_said_and_what_was_shown_stays(machine):
    shown = MyMachines(client([machine()], ControllerUnreachable("No answer. Try later.")))
    shown.refresh()
    assert shown.error == "No answer. Try later."
    assert len(shown.rows) == 1
    assert not shown.busy
    assert str(shown).startswith("No answer. Try later.\n")


def test_the_next_answer_takes_the_failure_away(machine):
    shown = MyMachines(client(ControllerUnreachable("No answer."), [machine()]))
    assert (shown.error, shown.rows) == ("No answer.", [])
    shown.refresh()
    assert shown.error == ""
    assert len(shown.rows) == 1


def test_a_reader_without_a_browser_gets_the_list_as_text(machine):
    bundle, _ = MyMachines(client([machine()]))._repr_mimebundle_()
    assert "● Running" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_no_machines_is_said_in_words():
    assert str(MyMachines(client([]))) == "You have no machines."


def test_the_browser_gets_what_is_shown_and_no_secret(machine):
    shown = MyMachines(client([machine(notes="private", console_tail="boot log")]))
    state = json.dumps(shown.get_state())
    assert "s3cret-token" not in state
    assert "private" not in state
    assert "boot log" not in state


def test_the_view_takes_colours_from_the_theme_text_as_text_and_nothing_from_elsewhere():
    shown = MyMachines(client([]))
    assert "innerHTML" not in shown._esm
    assert "var(--jp-" in shown._css
    assert "://" not in shown._esm + shown._css
