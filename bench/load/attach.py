"""A hub and a controller that are started where 1,000 machines run already: how long until all is known."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from deployment.settings import ROOT
from jupyterhub import orm
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from bench.installation import BenchFailed
from bench.load.process import PATIENCE, Controller, free_port
from bench.load.site import PORT, Site

if TYPE_CHECKING:
    from pathlib import Path

MACHINES = 1000
ATTACHED = " still running"
"""What the hub logs of each server that was polled and answers."""


class _Server(RequestHandler):
    """A notebook server, as far as a hub looks that starts."""

    def get(self) -> None:
        """Answer."""
        self.finish("{}")


async def measure(folder: Path, database_url: str | None) -> dict[str, Any]:
    """Return the figures.

    Raises
    ------
    BenchFailed
        A server was not found again, or the hub's questions led to calls of libvirt.
    """
    site = Site(folder / "site", machines=MACHINES, database_url=database_url)
    async with Controller(site, poll_interval=3600.0) as controller:
        began = time.monotonic()
        calls = (await controller.settled())["calls"]
        looked_at = controller.ready + time.monotonic() - began
        before = await controller.requests()
        _remember(folder, site)
        servers = HTTPServer(Application([(".*", _Server)], log_function=lambda _: None))
        for known in site.known:
            assert known.address is not None
            servers.add_sockets(bind_sockets(PORT, known.address))
        try:
            seconds = await _hub(folder, controller)
        finally:
            servers.stop()
            await servers.close_all_connections()
        after = await controller.requests()
        made = {name: count - before.get(name, 0) for name, count in after.items()}
        asked = {name: n for name, n in made.items() if n and "get_metrics" not in name}
        polled = (await controller.ask())["calls"] - calls
    if polled:
        raise BenchFailed(f"The hub's polls led to {polled} calls of libvirt.")
    return {
        "machines": MACHINES,
        "controller_listens": controller.listens,
        "controller_lists": controller.ready,
        "controller_looked_at_all": looked_at,
        "hub_reattached": seconds,
        "requests": asked,
        "libvirt_calls": polled,
    }


def _remember(folder: Path, site: Site) -> None:
    """Write the database of a hub that knows all servers."""
    session = orm.new_session_factory(f"sqlite:///{folder / 'hub.sqlite'}")()
    for known in site.known:
        server = orm.Server(proto="http", ip=known.address, port=PORT, base_url=f"/user/{known.owner}/")
        state = {"machine_id": known.id, "address": known.address, "port": PORT}
        session.add(
            orm.Spawner(name="", user=orm.User(name=known.owner), server=server, state=state, user_options={})
        )
    session.commit()
    session.close()


async def _hub(folder: Path, controller: Controller) -> float:
    """Run a hub and return the seconds until it knows of every server that it runs."""
    settings = {
        "port": free_port(),
        "public_port": free_port(),
        "controller_url": controller.url,
        "token": controller.site.token,
    }
    path = folder / "hub.log"
    began = time.monotonic()
    with path.open("wb") as log:
        hub = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "jupyterhub"),
            *("-f", str(ROOT / "bench" / "load" / "hub_config.py")),
            cwd=folder,
            env=os.environ | {"BENCH_HUB": json.dumps(settings)},
            stdout=log,
            stderr=log,
        )
    try:
        while (found := path.read_text().count(ATTACHED)) < MACHINES:
            if hub.returncode is not None or time.monotonic() - began > PATIENCE:
                raise BenchFailed(f"The hub found {found} servers again:\n{path.read_text()[-3000:]}")
            await asyncio.sleep(0.1)
        return time.monotonic() - began
    finally:
        if hub.returncode is None:
            hub.send_signal(signal.SIGKILL)
        await hub.wait()
