# JupyterHub for one machine. Start from it: every line says why it is there.
# Paths, ports and names come from the variables of `make run` (deployment/settings.py).
import json
import sys

from deployment import credentials
from deployment.settings import Settings

from cernvmapi.models import API_PREFIX

settings = Settings.from_environment()

c = get_config()

# --- where it keeps and serves things ---

# Users, tokens and who has a server; a restarted hub finds all of it again.
c.JupyterHub.db_url = f"sqlite:///{settings.state}/jupyterhub.sqlite"
# Browsers stay logged in over a restart.
c.JupyterHub.cookie_secret_file = str(settings.state / "jupyterhub_cookie_secret")
# What a browser connects to: the proxy.
c.JupyterHub.bind_url = f"http://{settings.ip}:{settings.port}/"
# Where SUBDOMAIN_HOST is set, every server and the controller have a host of their own below it: for a
# browser they are then origins of their own, and no page of one acts in another.
c.JupyterHub.subdomain_host = settings.subdomain_host
# What proxy and machines connect to: the hub, on the machines' network and nowhere else.
c.JupyterHub.hub_ip = settings.gateway
c.JupyterHub.hub_port = settings.hub_port
# Hub, proxy, controller and machines show each other certificates: no token crosses the bridge readable.
c.JupyterHub.internal_ssl = True
c.JupyterHub.internal_certs_location = str(settings.certificates)
# Machines know the hub by this address: its certificate must name it.
c.JupyterHub.trusted_alt_names = [f"IP:{settings.gateway}"]

# --- the proxy: a process of its own, so that a restarted hub interrupts no notebook ---

c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"https://127.0.0.1:{settings.proxy_api_port}"
c.ConfigurableHTTPProxy.auth_token = settings.secret(credentials.PROXY_TOKEN).read_text()
# A restarted proxy knows no routes; the hub looks after them this often (seconds).
c.JupyterHub.last_activity_interval = 10

# --- who may log in ---

# Two accounts whose passwords `make run` made and printed. A site replaces all lines of this part together:
# by its authenticator, by whom that lets in, and by `admins`, who have the controller's rights too (below).
accounts = json.loads(settings.accounts.read_text())["accounts"]
passwords = {account["admin"]: account["password"] for account in accounts}
admins = {account["name"] for account in accounts if account["admin"]}
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = passwords[False]
c.SharedPasswordAuthenticator.admin_password = passwords[True]
c.Authenticator.allowed_users = {account["name"] for account in accounts} - admins
c.Authenticator.admin_users = admins

# --- servers are virtual machines ---

# The thin client of the controller; the hub's own process never talks to libvirt.
c.JupyterHub.spawner_class = "cernvm"
c.CernVMSpawner.controller_url = f"https://127.0.0.1:{settings.controller_port}{API_PREFIX}"
# Where notebooks in the machines find it.
c.CernVMSpawner.controller_guest_url = f"https://{settings.gateway}:{settings.controller_port}{API_PREFIX}"
# Who signed its certificate; machines are told too.
c.CernVMSpawner.controller_ca = str(settings.controller_ca)
c.CernVMSpawner.controller_token_file = str(settings.secret(credentials.HUB_TOKEN))
# Seconds. Longer than the controller's own deadlines, whose errors say more than "timeout".
c.Spawner.start_timeout = 600
# Seconds. The server answers in its machine by then; this is the way from the hub to it.
c.Spawner.http_timeout = 60
# A second machine beside the first, under a name; each has a home of its own.
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 5
# Machines outlive the hub: it neither stops them when it ends nor delays its start for them (seconds).
c.JupyterHub.cleanup_servers = False
c.JupyterHub.init_spawners_timeout = 1

# --- the controller: an external service with a life of its own ---

c.JupyterHub.services = [
    {
        "name": "cernvm",
        "url": f"https://127.0.0.1:{settings.service_port}",
        "api_token": settings.secret(credentials.SERVICE_TOKEN).read_text(),
        # It is part of the hub: no "do you allow this application" for its own pages.
        "oauth_no_confirm": True,
        # What it may do for somebody who uses it in a browser; cut to what that person may do.
        "oauth_client_allowed_scopes": [
            "custom:cernvm:read",
            "custom:cernvm:write",
            "custom:cernvm:admin",
        ],
        # Seconds. The hub's readiness check cannot pass a service that asks for certificates; it only warns.
        "timeout": 1,
        "display": False,
    },
    {
        # Ends servers that nobody used for twelve hours, and so removes their machines; homes stay. An open
        # page is use. So is a kernel that computes, also in silence and with no page open: the extension in
        # the machine sees to that. A program in a terminal is not, once its page is closed.
        "name": "cernvm-culler",
        "command": [
            # Ends with the hub even if that is killed, so that never two of them run.
            *("setpriv", "--pdeathsig", "TERM"),
            *(sys.executable, "-m", "jupyterhub_idle_culler"),
            *("--timeout=43200", "--cull-every=600"),
            *("--ssl-enabled=True", f"--internal-certs-location={settings.certificates}"),
        ],
    },
]
# The same check, repeated each minute, would only fill the log.
c.JupyterHub.service_check_interval = 0

# --- who may do what ---

# The controller checks these at every request.
c.JupyterHub.custom_scopes = {
    "custom:cernvm:read": {"description": "See one's own virtual machines, homes and their events."},
    "custom:cernvm:write": {
        "description": "Create, start, stop and delete one's own virtual machines, and use their consoles.",
        "subscopes": ["custom:cernvm:read"],
    },
    "custom:cernvm:admin": {
        "description": "Manage everybody's virtual machines, and the hosts that run them.",
        "subscopes": ["custom:cernvm:write"],
    },
}
c.JupyterHub.load_roles = [
    {
        # Everybody: JupyterHub's own rights of a user, the controller's pages, machines of one's own.
        "name": "user",
        "scopes": ["self", "access:services!service=cernvm", "custom:cernvm:write"],
    },
    {
        "name": "cernvm-admin",
        "description": "Runs this installation",
        "scopes": ["access:services!service=cernvm", "custom:cernvm:admin"],
        "users": sorted(admins),
    },
    {
        "name": "cernvm-culler",
        "description": "Ends idle servers",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["cernvm-culler"],
    },
    {
        # The controller asks the hub who a token belongs to; the token itself allows that.
        "name": "cernvm",
        "description": "The controller of the virtual machines",
        "scopes": ["read:users:name"],
        "services": ["cernvm"],
    },
]
# What a notebook's own token may do: JupyterHub's default, and drive the controller.
# The hub cuts it to its owner's rights.
c.Spawner.server_token_scopes = [
    "users:activity!user",
    "access:servers!server",
    "access:services!service=cernvm",
    "custom:cernvm:read",
    "custom:cernvm:write",
    "custom:cernvm:admin",
]
