# The controller for one machine. Start from it: every line says why it is there.
# Paths, ports and names come from the variables of `make run` (deployment/settings.py).
import json

from deployment import credentials
from deployment.settings import Settings

settings = Settings.from_environment()
# What `make run` built, and where (deployment/appliances.py).
built = json.loads(settings.appliances.read_text()) if settings.appliances.exists() else {}

c = get_config()

# --- what it is called and where it keeps things ---

# Machines, homes, pool, network and filter begin with it in libvirt.
c.CernVMController.hub_name = settings.name
# Its database, its lock, its certificates, and the id by which machines and homes are known as this hub's.
c.CernVMController.state_dir = str(settings.state)

# --- where it listens ---

# For the proxy, which shows a certificate of the hub's; its own is in JUPYTERHUB_SSL_* of its environment.
c.CernVMController.bind_url = f"https://127.0.0.1:{settings.service_port}"
# For the spawner on this machine, and for notebooks in the machines on their network.
c.CernVMController.machine_bind = [
    ("127.0.0.1", settings.controller_port),
    (settings.gateway, settings.controller_port),
]
# The spawner's secret: it acts for everybody.
c.CernVMController.hub_token_file = str(settings.secret(credentials.HUB_TOKEN))

# --- the one host: this machine ---

c.CernVMController.hosts = [{"name": "local", "uris": ["qemu:///system"]}]
# Where its storage pool is; libvirt makes the folder.
c.CernVMController.pool_path = f"/var/lib/libvirt/{settings.name}"
# The machines' network, and the bridge that this machine has its first address on.
c.CernVMController.subnet = str(settings.subnet)
c.CernVMController.bridge = settings.bridge
# What machines may reach of this machine: the hub here, and the controller's port above.
c.CernVMController.hub_port = settings.hub_port
# A tiny guest that shows whether KVM really runs one here; else machines are emulated.
c.CernVMController.probe_image = built.get("tiny", "")

# --- what it offers ---

c.CernVMController.appliances = [built["default"]] if built else []
# The hub's own packages, on top of every appliance that has our agent.
c.CernVMController.layer = built.get("layer", "")
