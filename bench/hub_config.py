# mypy: ignore-errors
# The deployment as it is, and a service that starts servers for people: the benchmark.
from deployment.settings import ROOT, Settings

from bench.installation import SERVICE, TOKEN

load_subconfig(str(ROOT / "jupyterhub_config.py"))

c = get_config()
c.JupyterHub.services.append(
    {"name": SERVICE, "api_token": Settings.from_environment().secret(TOKEN).read_text()}
)
c.JupyterHub.load_roles.append(
    {
        "name": SERVICE,
        "scopes": [
            *("admin:users", "admin:servers", "access:servers"),
            *("access:services!service=cernvm", "custom:cernvm:admin"),
        ],
        "services": [SERVICE],
    }
)
