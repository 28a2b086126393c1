"""A Jupyter server with the extension, and a controller that answers as it is told.

The tests are plain functions: pytest-jupyter's server lives in an event loop of its own, and `get`
fetches in it.
"""

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from jupyter_server.auth import IdentityProvider, User
from pytest_jupyter.jupyter_core import (  # noqa: F401
    echo_kernel_spec,
    jp_asyncio_loop,
    jp_config_dir,
    jp_data_dir,
    jp_env_config_path,
    jp_env_jupyter_path,
    jp_environ,
    jp_home_dir,
    jp_kernel_dir,
    jp_runtime_dir,
    jp_system_config_path,
    jp_system_jupyter_path,
)
from pytest_jupyter.jupyter_server import (  # noqa: F401
    jp_argv,
    jp_auth_header,
    jp_base_url,
    jp_configurable_serverapp,
    jp_extension_environ,
    jp_fetch,
    jp_http_port,
    jp_logging_stream,
    jp_nbconvert_templates,
    jp_root_dir,
    jp_server_cleanup,
    jp_serverapp,
    jp_web_app,
)
from pytest_jupyter.pytest_tornasync import http_server, http_server_client, http_server_port, io_loop  # noqa: F401
from tornado.httpclient import HTTPClientError, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from cernvmapi.models import API_PREFIX, Health, Page, encode

TOKEN = "the-owners-token"


@dataclass
class Controller:
    """What the stand-in for the controller answers, and what it was asked."""

    status: int = 200
    body: bytes = b""
    requests: list = field(default_factory=list)
    url: str = ""
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    """The first chunk of the events arrived."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Who listened to the events went away."""


class _Answer(RequestHandler):
    def initialize(self, controller):
        self.controller = controller

    async def get(self, path):
        self.controller.requests.append(self.request)
        if path == "events" and self.controller.status == 200:
            await self.events()
            return
        empty = Health(status="ok", version="1", hub_id="h") if path == "health" else Page(items=[], total=0)
        self.set_status(self.controller.status)
        self.set_header("Content-Type", "application/json")
        self.finish(self.controller.body or encode(empty))

    post = put = patch = delete = get

    async def events(self):
        """Send one event, and the next when a test has seen it."""
        self.set_header("Content-Type", "text/event-stream")
        for chunk, heard in (
            (b"id: 7\n\n", self.controller.seen),
            (b"id: 8\ndata: {}\n\n", self.controller.left),
        ):
            self.write(chunk)
            await self.flush()
            await heard.wait()

    def on_connection_close(self):
        self.controller.left.set()


class _Console(WebSocketHandler):
    """Says what it heard, and ends when it is told to."""

    def initialize(self, controller):
        self.controller = controller

    async def prepare(self):
        self.controller.requests.append(self.request)
        if self.controller.status != 200:
            self.set_status(self.controller.status)
            self.finish()

    def select_subprotocol(self, subprotocols):
        return "cernvm.console.v1"

    def open(self):
        self.write_message('{"stream": "c-1"}')

    def on_message(self, message):
        if message == b"end":
            self.close(4000, "It went off.")
        else:
            self.write_message(b"heard " + message, binary=True)


@pytest.fixture
def controller(jp_asyncio_loop):  # noqa: F811
    controller = Controller()

    async def serve():
        socket, port = bind_unused_port()
        known = {"controller": controller}
        routes = [
            (rf"{API_PREFIX}/machines/m-1/console/socket", _Console, known),
            (rf"{API_PREFIX}/(.*)", _Answer, known),
        ]
        server = HTTPServer(Application(routes))
        server.add_socket(socket)
        controller.url = f"http://127.0.0.1:{port}{API_PREFIX}"
        return server

    server = jp_asyncio_loop.run_until_complete(serve())
    yield controller
    server.stop()
    jp_asyncio_loop.run_until_complete(server.close_all_connections())


class Somebody(IdentityProvider):
    """Knows everybody who comes with the server's token by the name that a test gives."""

    name = "alice"

    async def get_user(self, handler):
        if await super().get_user(handler) is None:
            return None
        return User(username=self.name)


@pytest.fixture
def visitor(monkeypatch):
    """Let somebody else than the owner be logged in."""
    monkeypatch.setattr(Somebody, "name", "bob")


@pytest.fixture
def jp_server_config(controller, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    monkeypatch.setenv("CERNVM_API_URL", controller.url)
    return {
        "ServerApp": {
            "jpserver_extensions": {"cernvmextension": True},
            "identity_provider_class": Somebody,
        },
    }


@dataclass
class Answer:
    status: int
    headers: dict
    body: dict

    @classmethod
    def of(cls, response: HTTPResponse):
        return cls(response.code, dict(response.headers), json.loads(response.body or b"null"))


@pytest.fixture
def ask(jp_fetch, jp_asyncio_loop, jp_serverapp):  # noqa: F811
    def ask(method, path, headers=None, body=None, **query):
        request = jp_fetch(
            path, method=method, params=query, headers=headers, body=body, allow_nonstandard_methods=True
        )
        try:
            response = jp_asyncio_loop.run_until_complete(request)
        except HTTPClientError as refusal:
            response = refusal.response
        return Answer.of(response)

    yield ask
    extension = jp_serverapp.extension_manager.extension_apps["cernvmextension"]
    for app in extension:
        jp_asyncio_loop.run_until_complete(app.stop_extension())


@pytest.fixture
def get(ask):
    def get(path, headers=None, **query):
        return ask("GET", path, headers, **query)

    return get
