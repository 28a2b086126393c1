"""The notebook runs in a kernel of its own, against a stand-in that speaks the contract."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import nbformat
import pytest
from nbclient import NotebookClient

from cernvmapi.errors import NotFound, Unauthenticated
from cernvmapi.models import API_PREFIX, Machine, Page, Phase, PhaseMark, Power, Status, Target, encode

TOKEN = "token-of-alice"
THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

MACHINE = Machine(
    id="m-abcdefgh2345",
    name="alice",
    owner="alice",
    server_name="",
    appliance="default",
    appliance_title="CernVM for notebooks",
    flavor="small",
    vcpus=2,
    memory_mib=1024,
    disk_mib=8192,
    host="local",
    uuid="5d3b5a9e-3a54-5f0e-8a9b-000000000001",
    address="10.80.0.17",
    status=Status.RUNNING,
    target=Target.RUNNING,
    power=Power.ON,
    timeline=[
        PhaseMark(phase=Phase.PLACED, message="On local", progress=5, at=THEN),
        PhaseMark(phase=Phase.READY, message="Ready", progress=100, at=THEN + timedelta(seconds=41.5)),
    ],
    created=THEN,
    changed=THEN,
)


class Controller(BaseHTTPRequestHandler):
    def do_GET(self):
        path = urlsplit(self.path).path.removeprefix(API_PREFIX)
        if TOKEN not in self.headers.get("Authorization", ""):
            failure = Unauthenticated("Nobody knows this token.")
            self.reply(failure.status, encode(failure.problem()))
        elif path == "/machines":
            self.reply(200, encode(Page(items=[MACHINE], total=1)))
        else:
            self.reply(404, encode(NotFound(f"There is no {path}.").problem()))

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def controller():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Controller)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{API_PREFIX}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def notebook(pytestconfig):
    return nbformat.read(pytestconfig.rootpath / "notebooks/my-machines.ipynb", as_version=4)


def text_of(cell):
    return "".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)


async def test_the_notebook_lists_ones_machines(notebook, controller, monkeypatch, tmp_path):
    monkeypatch.setenv("CERNVM_API_URL", controller)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    await client.async_execute()

    cells = {cell.id: cell for cell in notebook.cells}
    assert text_of(cells["list"]) == "alice: running, 2 CPUs, 1024 MiB, on local\nMachines: 1\n"
    assert text_of(cells["phases"]) == "alice: placed -> ready: 41.5 s\n"
    assert "● Running" in text_of(cells["table"])
    (shown,) = cells["table"].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert TOKEN not in json.dumps(notebook)


def test_the_notebook_is_kept_without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
