"""A real JupyterHub with the spawner, for tests: with a proxy where one wants it; everybody may log in."""

import json
import os

from jupyterhub.proxy import Proxy

c = get_config()


class NoProxy(Proxy):
    """Routes are remembered and lead nowhere: the tests speak with the hub itself."""

    routes: dict = {}  # noqa: RUF012 - one hub a process
    should_start = False

    async def add_route(self, routespec, target, data):
        """Remember a route."""
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        """Forget a route."""
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        """Return the routes."""
        return self.routes


settings = json.loads(os.environ["TEST_HUB"])
if "proxy" in settings:
    c.ConfigurableHTTPProxy.update(settings["proxy"])
else:
    c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = f"http://127.0.0.1:{settings['public_port']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings['port']}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.any_allow_config = True
c.JupyterHub.spawner_class = "cernvm"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.cleanup_servers = False
c.JupyterHub.init_spawners_timeout = 1
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.internal_ssl = settings["internal_ssl"]
c.JupyterHub.services = [{"name": "test", "api_token": settings["token"]}, *settings["services"]]
c.JupyterHub.load_roles = [
    {
        "name": "test",
        "services": ["test"],
        "scopes": ["admin:users", "admin:servers", "admin:server_state", "access:servers"],
    },
    *settings["roles"],
]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.CernVMSpawner.update(settings["spawner"])
c.JupyterHub.update(settings.get("hub", {}))
