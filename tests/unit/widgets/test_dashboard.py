import json

import pytest

from cernvmapi.errors import Conflict
from cernvmwidgets import Dashboard
from cernvmwidgets import dashboard as module


class Client:
    """Remembers the calls and answers with text, or raises."""

    def __init__(self, answer="{}"):
        self.answer = answer
        self.calls = []

    def send(self, call):
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def ask(monkeypatch):
    def ask(client, **question):
        board = Dashboard(client)
        sent = []
        monkeypatch.setattr(board, "send", sent.append)
        board._handle_custom_msg({"type": "ask", "id": 3, "query": {}, "body": None, **question}, [])
        return sent

    return ask


def test_the_kernel_asks_where_a_client_is_given(ask):
    client = Client('{"items": []}')
    (answer,) = ask(client, method="GET", path="machines", query={"status": ["failed"], "limit": 5})
    assert answer == {"type": "answer", "id": 3, "status": 200, "body": {"items": []}}
    (call,) = client.calls
    assert (call.method, call.path, call.params) == ("GET", "/machines", {"status": "failed", "limit": "5"})


def test_what_has_no_body_is_an_answer_too(ask):
    (answer,) = ask(Client(""), method="DELETE", path="feeds/f-1")
    assert (answer["status"], answer["body"]) == (200, None)


def test_a_refusal_reaches_the_view_in_the_controllers_words(ask):
    (answer,) = ask(Client(Conflict("It is running.")), method="POST", path="machines/m-1/start", body={})
    assert (answer["status"], answer["body"]["code"], answer["body"]["detail"]) == (
        409,
        "conflict",
        "It is running.",
    )


@pytest.mark.parametrize(
    "question",
    [
        {"method": "GET", "path": "/etc"},
        {"method": "GET", "path": "machines/../metrics"},
        {"method": "TRACE", "path": "machines"},
        {"method": "GET", "path": 5},
        {"method": "GET", "path": "machines", "query": "x"},
        {},
    ],
    ids=str,
)
def test_what_is_no_request_of_the_api_is_refused_in_the_kernel(ask, question):
    client = Client()
    (answer,) = ask(client, **question)
    assert (answer["status"], client.calls) == (400, [])


def test_other_messages_do_nothing(ask):
    client = Client()
    assert ask(client, type="delete") == []
    assert client.calls == []


def test_the_views_come_from_the_kernel_where_the_server_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr("cernvmviews.FOLDER", tmp_path)
    assert "deployment.interface build" in module._views()["error"]
    for name in ("page.js", "inline.js", "views.css"):
        (tmp_path / name).write_text(name)
    assert module._views() == {"script": "inline.js", "css": "views.css"}


def test_what_is_chosen_and_shown_are_traits():
    board = Dashboard(room="infrastructure")
    board.set_state({"selection": ["m-1"], "machine": "m-2", "room": "dashboard"})
    assert (board.selection, board.machine, board.room) == (["m-1"], "m-2", "dashboard")


def test_the_shell_is_small_and_holds_no_secret():
    board = Dashboard(Client())
    state = json.dumps(board.get_state())
    assert len(state) < 6000
    assert board.through == "kernel"
    assert "token" not in state.lower()
    assert "https://" not in board._esm


def test_a_reader_without_a_browser_is_told_what_to_do():
    bundle, _ = Dashboard()._repr_mimebundle_()
    assert "Client()" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
