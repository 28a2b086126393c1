"""What stands for a machine's notebook server."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tornado import httpserver, web


def small_server(env: dict[str, str]) -> httpserver.HTTPServer:
    """Serve what the hub asks of a notebook server, where and how its environment says."""
    url = urlsplit(env["JUPYTERHUB_SERVICE_URL"])
    context = None
    if url.scheme == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=env["JUPYTERHUB_SSL_CLIENT_CA"])
        context.load_cert_chain(env["JUPYTERHUB_SSL_CERTFILE"], env["JUPYTERHUB_SSL_KEYFILE"])
        context.verify_mode = ssl.CERT_REQUIRED

    class Api(web.RequestHandler):
        def get(self) -> None:
            self.set_header("X-JupyterHub-Version", "6.1.1")
            self.finish({"version": "0"})

    server = httpserver.HTTPServer(
        web.Application([(".*", Api)], log_function=lambda _: None), ssl_options=context
    )
    server.listen(url.port or 0, url.hostname or "")
    return server


async def real_server(command: list[str], env: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).with_name(command[0])
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    outside = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "JUPYTERHUB_ROOT_DIR": str(home),
        "JUPYTER_ALLOW_INSECURE_WRITES": "1",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: ASYNC220 - a moment
            [str(program), *command[1:], "--allow-root"], env=env | outside, stdout=log, stderr=log, cwd=home
        )
