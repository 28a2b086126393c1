"""What the notebooks are run with: a kernel of their own, and a stand-in that speaks the contract."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import nbformat
import pytest
from nbclient import NotebookClient

from cernvmapi.errors import NotFound, Unauthenticated
from cernvmapi.models import API_PREFIX, encode

TOKEN = "token-of-alice"


class Controller(BaseHTTPRequestHandler):
    """Answers with what a test put under a path: a record, or what makes one of the query."""

    def do_GET(self):
        address = urlsplit(self.path)
        answer = self.server.answers.get(address.path.removeprefix(API_PREFIX))
        if TOKEN not in self.headers.get("Authorization", ""):
            failure = Unauthenticated("Nobody knows this token.")
            self.reply(failure.status, encode(failure.problem()))
        elif answer is None:
            self.reply(404, encode(NotFound(f"There is no {address.path}.").problem()))
        else:
            self.reply(200, encode(answer(dict(parse_qsl(address.query))) if callable(answer) else answer))

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def answers(monkeypatch):
    """Return what the stand-in answers, by path, for the test to fill; the environment leads there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Controller)
    server.answers = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("CERNVM_API_URL", f"http://127.0.0.1:{server.server_port}{API_PREFIX}")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")
    yield server.answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(pytestconfig, tmp_path):
    """Return what runs a notebook of `notebooks/` in an empty folder, and returns it."""

    async def executed(name):
        notebook = nbformat.read(pytestconfig.rootpath / "notebooks" / name, as_version=4)
        client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
        await client.async_execute()
        return notebook

    return executed


def text_of(cell):
    """Return what a cell printed, and the plain form of what it showed."""
    return "".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)
