"""The settings of `CernVMSpawner`: every trait with its default and what it is for."""

from __future__ import annotations

import os
from typing import Any

from jupyterhub.traitlets import ByteSpecification, Callable
from traitlets import Bool, Dict, Float, HasTraits, Integer, List, Unicode, Union, default


class SpawnerSettings(HasTraits):
    """What an administrator can set, beside the settings of every JupyterHub spawner."""

    controller_url = Unicode(
        help="""
        Base of the controller's API as the hub reaches it, prefix and version included, such as
        ``https://127.0.0.1:8004/services/cernvm/api/v1``.

        Default: the environment variable ``CERNVM_API_URL`` of the hub's process.
        """,
    ).tag(config=True)

    controller_ca = Unicode(
        help="""
        File with the certificate of the authority that signed the controller's certificate. Its content is
        also sent to the machines, which reach the controller at `controller_guest_url`.

        Default: the system's authorities.
        """,
    ).tag(config=True)

    controller_guest_url = Unicode(
        help="""
        Base of the controller's API as machines reach it on their network; notebooks find it as
        ``CERNVM_API_URL``. Empty: notebooks are not told where the controller is.
        """,
    ).tag(config=True)

    controller_token = Unicode(
        help="""
        Token by which the hub proves to the controller who it is. Prefer `controller_token_file`, which keeps
        it out of the configuration.
        """,
    ).tag(config=True)

    controller_token_file = Unicode(help="File with the controller's token; read when the hub connects.").tag(
        config=True
    )

    appliance = Unicode(
        help="Id of the appliance of a server when none is chosen. Default: the controller's default.",
    ).tag(config=True)

    flavor = Unicode(
        help="Id of the flavor of a server when none is chosen. Default: the controller's default.",
    ).tag(config=True)

    profile_list: Any = Union(
        [List(Dict()), Callable()],
        help="""
        Ready-made choices, shown instead of the free choice of appliance and size; with the keys of
        KubeSpawner's setting of the same name: ``display_name``, ``slug``, ``description``, ``default``,
        ``profile_options`` with ``choices`` and ``unlisted_choice``, and ``spawner_override`` (or
        ``kubespawner_override``), whose keys are settings of this spawner: ``appliance``, ``flavor``,
        ``mem_limit``, ``cpu_limit``, ``environment``, …

        A callable gets the spawner and returns the list, so that a group can have profiles of its own; it may
        be asynchronous.

        Where there are profiles, a person cannot choose an appliance or a size that no profile has.
        """,
    ).tag(config=True)

    max_vcpus = Integer(
        0,
        min=0,
        help="""
        Most vCPUs that a person may ask for instead of a flavor's, with the option ``vcpus``; 0: none. Where
        `cpu_limit` is set, it is the limit if it is lower.
        """,
    ).tag(config=True)

    max_memory: Any = ByteSpecification(
        0,
        help="""
        Most memory that a person may ask for instead of a flavor's, with the option ``memory_mib``, as
        ``8G``; 0: none. Where `mem_limit` is set, it is the limit if it is lower.
        """,
    ).tag(config=True)

    home = Bool(
        default_value=True,
        help="""
        Give each server a home volume that outlives its machine. It is found again by user and server name,
        and deleted only with the user or the named server.
        """,
    ).tag(config=True)

    home_capacity: Any = ByteSpecification(
        0, help="Size of a new home volume, as ``10G``. 0: what the controller gives."
    ).tag(config=True)

    adopt_homes = Bool(
        default_value=False,
        help="""
        Give a user the home of an earlier user with the same name. As a rule a home goes with the account,
        not with its name: who is deleted and created again starts only after an administrator handed the old
        home over or deleted it. Set it for a while after the hub's database was lost: then all accounts are
        new.
        """,
    ).tag(config=True)

    remove = Bool(
        default_value=True,
        help="""
        Delete the machine when its server stops; the home stays. If False, the machine is only shut down: the
        next start with the same appliance and flavor finds its disk as it was, and a changed choice still
        makes a new machine.
        """,
    ).tag(config=True)

    extra_labels = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="""
        Labels for every machine, as ``{"experiment": "atlas"}``. ``{username}`` and ``{servername}`` in
        values are replaced.
        """,
    ).tag(config=True)

    modify_machine_hook: Any = Callable(
        None,
        allow_none=True,
        help="""
        Called with the spawner and the `cernvmapi.models.MachineCreate` before a machine is made; returns the
        one to send. It may be asynchronous::

            def on_the_gpu_cluster(spawner, machine):
                return msgspec.structs.replace(machine, cluster="gpu")

            c.CernVMSpawner.modify_machine_hook = on_the_gpu_cluster
        """,
    ).tag(config=True)

    stop_grace = Float(
        30.0, min=0, help="Seconds that a machine has to shut down by itself before it is switched off."
    ).tag(config=True)

    stop_timeout = Float(
        120.0, min=1, help="Seconds after which a stop that does not come to its end is given up as failed."
    ).tag(config=True)

    slow_start_message = Unicode(
        "The machine is still on its way; a first start on a host takes longer than the ones after it.",
        help="Shown on the progress page when nothing new happened for `slow_start_threshold` seconds.",
    ).tag(config=True)

    slow_start_threshold = Float(
        45.0, min=0, help="Seconds without news after which `slow_start_message` is shown; 0: never."
    ).tag(config=True)

    @default("controller_url")
    def _controller_url_of_environment(self) -> str:
        return os.environ.get("CERNVM_API_URL", "")

    # Defaults of JupyterHub's own settings that fit a machine of one's own.

    @default("ip")
    def _listen_on_all(self) -> str:
        return "0.0.0.0"  # noqa: S104 - in the machine, whose filter decides who gets there

    @default("port")
    def _port_of_every_machine(self) -> int:
        return 8888

    @default("start_timeout")
    def _longer_than_the_controller(self) -> int:
        return 600

    @default("http_timeout")
    def _patient_with_emulation(self) -> int:
        return 120

    @default("notebook_dir")
    def _home_in_the_machine(self) -> str:
        return "/home/cernvm"

    @default("default_url")
    def _jupyterlab(self) -> str:
        return "/lab"
