"""The part of JupyterHub's API that tells whose a token is, over HTTP, and a log-in without a password."""

from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

READ, WRITE, ADMIN = (f"custom:cernvm:{name}" for name in ("read", "write", "admin"))
HUB_TOKEN = "hub-" + "s" * 40
TOKENS = {
    "alice-read": ("user", "alice", [READ]),
    "alice-write": ("user", "alice", [READ, WRITE]),
    "alice-own": ("user", "alice", [f"{WRITE}!user=alice"]),
    "alice-notebook": (
        "user",
        "alice",
        ["users:activity!user=alice", "access:servers!server=alice/", READ, WRITE],
    ),
    "alice-of-bob": ("user", "alice", [f"{WRITE}!user=bob"]),
    "alice-admin-of-bob": ("user", "alice", [f"{ADMIN}!user=bob"]),
    "bob-write": ("user", "bob", [WRITE]),
    "carol-admin": ("user", "carol", [ADMIN]),
    "dave-nothing": ("user", "dave", ["access:services!service=cernvm"]),
    "prometheus": ("service", "prometheus", [READ]),
    "service-alice": ("service", "alice", [WRITE]),
    "ursula": ("user", "Ursulä ☕", [WRITE]),
}


class FakeHub:
    """A running hub.

    ``tokens`` may be changed while it runs; ``asked`` counts; ``broken`` makes it answer 503.
    """

    def __init__(self):
        self.tokens = dict(TOKENS)
        self.asked = 0
        self.broken = False
        self.login_as = "alice-write"

    def start(self):
        application = Application(
            [
                ("/hub/api/user", _User, {"hub": self}),
                ("/hub/api/oauth2/authorize", _Authorize, {"hub": self}),
                ("/hub/api/oauth2/token", _Token, {"hub": self}),
            ],
            log_function=lambda _: None,
        )
        self.server = HTTPServer(application)
        (socket,) = bind_sockets(0, "127.0.0.1")
        self.server.add_socket(socket)
        self.port = socket.getsockname()[1]

    @property
    def api_url(self):
        return f"http://127.0.0.1:{self.port}/hub/api"

    async def stop(self):
        self.server.stop()
        await self.server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, hub):
        self.hub = hub


class _User(_Handler):
    def get(self):
        self.hub.asked += 1
        if self.hub.broken:
            self.send_error(503)
            return
        token = self.request.headers.get("Authorization", "").partition(" ")[2]
        known = self.hub.tokens.get(token)
        if known is None:
            self.send_error(403)
            return
        kind, name, scopes = known
        self.write({"kind": kind, "name": name, "scopes": scopes, "groups": [], "admin": False})


class _Authorize(_Handler):
    def get(self):
        query = urlencode({"code": "the-code", "state": self.get_argument("state")})
        self.redirect(f"{self.get_argument('redirect_uri')}?{query}")


class _Token(_Handler):
    def post(self):
        form = parse_qs(self.request.body.decode())
        assert form["code"] == ["the-code"]
        self.write({"access_token": self.hub.login_as})


def cookie_value(response, name):
    """Return the value that a response sets for a cookie."""
    for header in response.headers.get_list("Set-Cookie"):
        cookie = SimpleCookie(header)
        if name in cookie:
            return cookie[name].value
    return None
