"""What a site can turn about machines: what they get, how long they may take, whether their use is kept."""

from __future__ import annotations

from traitlets import Bool, Dict, Float, Integer, Unicode
from traitlets.config import Configurable


class MachineOptions(Configurable):
    """Options of the controller; they are set as ``c.CernVMController.…``."""

    layer = Unicode(
        help="ISO image with the hub's own software, attached to every machine whose appliance has our agent."
    ).tag(config=True)
    home_mib = Integer(20480, help="Size of a new home volume in MiB; it takes only what is in it.").tag(
        config=True
    )
    context = Dict(
        help="Cloud-config for all machines, merged over the hub's own key by key. It carries no secrets."
    ).tag(config=True)
    boot_timeout = Float(180, help="Seconds until the agent of a machine that was switched on answers.").tag(
        config=True
    )
    session_timeout = Float(120, help="Seconds that a machine that is up waits for its session.").tag(
        config=True
    )
    server_timeout = Float(240, help="Seconds until the notebook server answers.").tag(config=True)
    reach_timeout = Float(
        45,
        help="Seconds until the notebook server that runs is reached from here, where the controller is on "
        "the machines' network; 0 does not look for it.",
    ).tag(config=True)
    agent_stop_timeout = Float(30, help="Seconds that the agent has to end the notebook server.").tag(
        config=True
    )
    shutdown_timeout = Float(
        60, help="Seconds that a machine has to shut down before it is powered off."
    ).tag(config=True)
    poll_interval = Float(
        60, help="Seconds after which every machine is looked at although nothing was heard of it."
    ).tag(config=True)
    keep_unused_bases = Float(
        86400,
        help="Seconds that an appliance's base stays in a pool after the last machine on it is gone and "
        "the appliance is not offered any more.",
    ).tag(config=True)
    metering = Bool(
        default_value=True,
        help="Sample every 30 seconds what machines use, and keep it. Without it there is no history of use.",
    ).tag(config=True)
    metrics_per_machine = Bool(
        default_value=False,
        help="Serve what each machine uses to Prometheus too: six series a machine. Machines come and go, so "
        "that Prometheus has to be made for many series.",
    ).tag(config=True)
