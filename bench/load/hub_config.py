# mypy: ignore-errors
# A hub with many servers and without a proxy: routes are remembered and lead nowhere.
import json
import os

from jupyterhub.proxy import Proxy

c = get_config()
settings = json.loads(os.environ["BENCH_HUB"])


class NoProxy(Proxy):
    """Routes are remembered."""

    routes: dict = {}  # noqa: RUF012 - one hub a process
    should_start = False

    async def add_route(self, routespec, target, data):  # noqa: ANN001, ANN201
        """Remember a route."""
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):  # noqa: ANN001, ANN201
        """Forget a route."""
        self.routes.pop(routespec, None)

    async def get_all_routes(self):  # noqa: ANN201
        """Return the routes."""
        return self.routes


c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = f"http://127.0.0.1:{settings['public_port']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings['port']}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "cernvm"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.init_spawners_timeout = 1
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.CernVMSpawner.controller_url = settings["controller_url"]
c.CernVMSpawner.controller_token = settings["token"]
