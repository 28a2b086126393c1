# mypy: ignore-errors
# The same hub, with servers as processes beside it: what a start without a machine costs.
import os

from deployment.settings import ROOT, Settings

load_subconfig(str(ROOT / "bench" / "hub_config.py"))

c = get_config()
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(
    Settings.from_environment().state / "simple" / "{username}"
)
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]
