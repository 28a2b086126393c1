"""The controller as a program: its options, its start and its end.

``cernvm-controller`` runs it; what else it can do is in `cernvmcontroller.commands`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from traitlets import Bool, Dict, Enum, Integer, List, Tuple, Unicode, default
from traitlets.config import Application, catch_config_error

from cernvmapi.errors import CernVMError, Invalid
from cernvmcontroller.catalogue.feeds import Feeds
from cernvmcontroller.catalogue.options import CatalogueOptions
from cernvmcontroller.catalogue.sources import load_feeds
from cernvmcontroller.commands import COMMANDS
from cernvmcontroller.context import refuse_oversize, refuse_secrets
from cernvmcontroller.definitions.options import DefinitionOptions
from cernvmcontroller.engine import Engine
from cernvmcontroller.hypervisor import open_hypervisor
from cernvmcontroller.hypervisor.bandwidth import Bandwidth
from cernvmcontroller.hypervisor.specs import FilterSpec, PoolSpec
from cernvmcontroller.inventory import (
    DEFAULT_FLAVORS,
    Defaults,
    HostSpec,
    Inventory,
    attached,
    load_flavors,
    load_hosts,
    machines_network,
)
from cernvmcontroller.inventory.localaddresses import local_addresses
from cernvmcontroller.listening import listen
from cernvmcontroller.machines.options import MachineOptions
from cernvmcontroller.machines.settings import Settings
from cernvmcontroller.moving.options import MovingOptions
from cernvmcontroller.placement.options import PlacementOptions
from cernvmcontroller.repository import Repository, load_manifest
from cernvmcontroller.repository.downloads import Downloads
from cernvmcontroller.statedir import (
    StateError,
    ensure_folder,
    hub_id,
    refuse_open,
    take_lock,
)
from cernvmcontroller.store import Leadership, Store, StoreError, lead
from cernvmcontroller.tasks import end
from cernvmcontroller.web.logs import configure, logger
from cernvmcontroller.web.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cernvmcontroller.hypervisor import Hypervisor

log = logger(__name__)


class CernVMController(
    MachineOptions, CatalogueOptions, DefinitionOptions, MovingOptions, PlacementOptions, Application
):
    """The controller of CernVM Hub: the one process that talks to libvirt and writes the database."""

    name = Unicode("cernvm-controller")
    description = Unicode(__doc__ or "")
    version = version("cernvmhub")
    raise_config_file_errors = True

    # --- state ---

    config_file = Unicode("controller_config.py", help="File with the configuration.").tag(config=True)
    state_dir = Unicode(
        ".state", help="Folder of all that the controller remembers; one controller uses it at a time."
    ).tag(config=True)
    hub_id_file = Unicode(
        help="File with the id of this installation, made at the first start. Machines and homes "
        "on the hosts are "
        "known by it: back it up. Default: `hub_id` in the state folder."
    ).tag(config=True)
    database_url = Unicode(
        help="Of the database, in SQLAlchemy's form: `sqlite+aiosqlite:////path` or "
        "`postgresql+asyncpg://user@host/name`. Default: `controller.sqlite` in the state folder."
    ).tag(config=True)
    hub_name = Unicode(
        "cernvmhub",
        help="Begins the name of everything that the hub makes on hosts (machines, pool, network, "
        "filter), so that "
        "several installations can share a host: up to 12 lower-case letters and digits, a letter first.",
    ).tag(config=True)

    # --- listening ---

    bind_url = Unicode(
        "http://127.0.0.1:8003",
        help="Where to listen for the proxy. With `https`, both sides show certificates.",
    ).tag(config=True)
    internal_ssl_cert = Unicode(
        help="Certificate for `bind_url`, of the hub's internal_ssl. Default: $JUPYTERHUB_SSL_CERTFILE."
    ).tag(config=True)
    internal_ssl_key = Unicode(help="Its key. Default: $JUPYTERHUB_SSL_KEYFILE.").tag(config=True)
    internal_ssl_client_ca = Unicode(
        help="Who the proxy's certificate must be signed by. Default: $JUPYTERHUB_SSL_CLIENT_CA."
    ).tag(config=True)
    machine_bind = List(
        Tuple(Unicode(), Integer()),
        help="Addresses and ports to listen on with TLS of the controller's own, for machines, the "
        "spawner and "
        "scripts. The certificate's authority is `controller-tls/ca.crt` in the state folder.",
    ).tag(config=True)
    tls_names = List(
        Unicode(),
        help="Further host names and addresses under which the controller is reached, for its certificate.",
    ).tag(config=True)
    hub_token_file = Unicode(
        help="File (mode 0600) with the secret by which the spawner is known. Default: `hub_token` "
        "in the state "
        "folder."
    ).tag(config=True)

    # --- hosts ---

    hosts = List(
        Dict(),
        [{"name": "local", "uris": ["qemu:///system"]}],
        help="Hosts that run machines: `name`, `uris` (one libvirt connection URI) and, where a "
        "host differs, "
        "`level` (observe, control, provision, notebook), `pool`, `pool_path`, `shared`, `reached`, "
        "`acceleration` (auto, kvm, qemu), `maintenance`, `labels`. More hosts are attached through the API.",
    ).tag(config=True)
    credentials_dir = Unicode(
        help="Folder with a folder of certificates or keys for each name that hosts which are attached "
        "through the API refer to. Default: `credentials` in the state folder."
    ).tag(config=True)
    pool_path = Unicode(
        help="Folder of the storage pool on each host. Default: `/var/lib/libvirt/<hub_name>`."
    ).tag(config=True)
    subnet = Unicode(
        "10.80.0.0/20",
        help="Addresses of the machines' network; the host has the first one. A network takes at most 4,000 "
        "machines: of a subnet larger than a /20 the rest stays unused.",
    ).tag(config=True)
    bridge = Unicode(help="Name of its bridge device. Default: `<hub_name>-br`.").tag(config=True)
    network_mode = Enum(
        ["nat", "bridge"],
        "nat",
        help="`nat`: each host has a network of its own for machines, made by the hub. `bridge`: the hosts "
        "have the device `bridge` already, and it leads to one network that all of them share, so that "
        "machines can be moved between them; the hub's machine has its first address there.",
    ).tag(config=True)
    hub_port = Integer(
        8081, help="TCP port on the host's address in `subnet` where machines reach the hub."
    ).tag(config=True)
    blocked = List(
        Unicode(),
        None,
        allow_none=True,
        help="Addresses and networks that machines must not reach. Default: this machine's own "
        "other addresses.",
    ).tag(config=True)
    send_limit_mib = Integer(
        0,
        min=0,
        help="What one machine may send, in MiB a second; 0 is no limit. It counts from a machine's next "
        "start on. The hosts' kernels need `act_police`.",
    ).tag(config=True)
    receive_limit_mib = Integer(
        0,
        min=0,
        help="What one machine may receive, in MiB a second; 0 is no limit. It counts from a machine's next "
        "start on. The hosts' kernels need `sch_htb` and `sch_sfq`.",
    ).tag(config=True)
    slots = Integer(8, help="How many machines are made on a host at the same time.").tag(config=True)
    probe_image = Unicode(
        help="Manifest of a tiny guest that is run once on each host to find out whether KVM works "
        "there. Without "
        "it machines are emulated wherever a host's `acceleration` does not say otherwise."
    ).tag(config=True)

    # --- what is offered ---

    appliances = List(Unicode(), help="Manifests of the appliances, the first one the default.").tag(
        config=True
    )
    default_appliance = Unicode(help="Id of the default appliance.").tag(config=True)
    flavors = List(
        Dict(), DEFAULT_FLAVORS, help="Sizes: `id`, `title`, `vcpus`, `memory_mib`, `disk_mib`."
    ).tag(config=True)
    default_flavor = Unicode(help="Id of the default flavor.").tag(config=True)

    # --- logs ---

    controller_log_level = Enum(
        ["DEBUG", "INFO", "WARNING", "ERROR"], "INFO", help="The least that is logged."
    ).tag(config=True)
    json_logs = Bool(default_value=False, help="Log one JSON object a line.").tag(config=True)

    generate_config = Bool(
        default_value=False,
        help="Write a configuration file with all options and end.",
    ).tag(config=True)

    subcommands: ClassVar[dict[str, Any]] = COMMANDS  # type: ignore[misc]
    aliases: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        "config": "CernVMController.config_file",
        "f": "CernVMController.config_file",
        "state": "CernVMController.state_dir",
        "log-level": "CernVMController.controller_log_level",
    }
    flags: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        "generate-config": (
            {"CernVMController": {"generate_config": True}},
            "Write a configuration file with all options and end.",
        ),
        "json-logs": ({"CernVMController": {"json_logs": True}}, "Log one JSON object a line."),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.metrics = Metrics()

    @default("hub_id_file")
    def _default_hub_id_file(self) -> str:
        return str(self.state / "hub_id")

    @default("database_url")
    def _default_database_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.state / 'controller.sqlite'}"

    @default("hub_token_file")
    def _default_hub_token_file(self) -> str:
        return str(self.state / "hub_token")

    @default("credentials_dir")
    def _default_credentials_dir(self) -> str:
        return str(self.state / "credentials")

    @default("pool_path")
    def _default_pool_path(self) -> str:
        return f"/var/lib/libvirt/{self.hub_name}"

    @default("bridge")
    def _default_bridge(self) -> str:
        return f"{self.hub_name}-br"

    leadership: Leadership
    """The right to be the active controller; there since `open`."""

    @property
    def state(self) -> Path:
        """The state folder, absolute."""
        return Path(self.state_dir).expanduser().resolve()

    # --- start ---

    @catch_config_error
    def initialize(self, argv: list[str] | None = None) -> None:
        """Read command line and configuration file."""
        self.parse_command_line(argv)
        if self.subapp is not None or self.generate_config:
            return
        path = Path(self.config_file)
        given = "config_file" in self.cli_config.get("CernVMController", {})
        if path.exists() or given:
            if not path.exists():
                raise StateError(f"There is no configuration file {path}.")
            self.load_config_file(str(path.absolute()))
            self.update_config(self.cli_config)
        configure(self.controller_log_level, as_json=self.json_logs)

    def start(self) -> None:
        """Run until told to end, or do what the command line asks for instead."""
        super().start()
        if self.subapp is not None:
            return
        if self.generate_config:
            self._write_config()
        elif self.extra_args:
            raise StateError(f"There is no command {self.extra_args[0]}; there are: {', '.join(COMMANDS)}.")
        else:
            asyncio.run(self.run())

    async def run(self) -> None:
        """Do what the program is for; a command does something else here."""
        await self.serve()

    def _write_config(self) -> None:
        path = Path(self.config_file)
        if path.exists():
            raise StateError(f"{path} exists; it is left as it is.")
        path.write_text(self.generate_config_file())
        print(f"Wrote {path}.")  # noqa: T201 - the answer to who asked on the command line

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT; machines keep running after that."""
        # Its memory has the machines' sessions: a crash must not write it to a file.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        ending = asyncio.create_task(stop.wait())
        async with AsyncExitStack() as stack:
            # A standby waits in it for its turn, and has to end when told to.
            opening = asyncio.create_task(self.open(stack), name="open")
            await asyncio.wait({opening, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                await end([opening])
                return
            engine = opening.result()
            serving = asyncio.create_task(listen(self, engine, stack), name="listen")
            lost = self.leadership.lost
            reasons: list[asyncio.Future[Any]] = [ending, lost]
            await asyncio.wait([serving, *reasons], return_when=asyncio.FIRST_COMPLETED)
            if not ending.done() and not lost.done():
                serving.result()
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
            await end([serving])
            log.info("ending; machines keep running")
        await end([ending])
        if lost.done():
            raise StoreError(lost.result())

    async def open(self, stack: AsyncExitStack) -> Engine:
        """Return the engine, started; `stack` ends it and everything that it needs."""
        ensure_folder(self.state)
        for kept in ("controller-tls", "hub_id"):
            refuse_open(self.state / kept)
        stack.enter_context(take_lock(self.state / "controller.lock"))
        identity = hub_id(Path(self.hub_id_file))
        self.leadership = await stack.enter_async_context(lead(self.database_url))
        store = await Store.open(self.database_url, identity, self.leadership)
        stack.push_async_callback(store.close)
        inventory = Inventory(
            store,
            self.host_specs(),
            self.open_hypervisor,
            flavors=load_flavors(self.flavors, self.default_flavor or None),
            probe_image=load_manifest(Path(self.probe_image)).image if self.probe_image else None,
            slots=self.slots,
            measures=self.metrics,
            attached=partial(attached, defaults=self.defaults()),
        )
        repository = self.repository(store)
        fetcher = self.fetcher()
        engine = Engine(
            identity,
            store,
            inventory,
            repository,
            self.settings(),
            feeds=Feeds(store, fetcher, load_feeds(self.feeds)),
            downloads=Downloads(store, fetcher, repository, self.download_settings()),
            measures=self.metrics,
        )
        stack.push_async_callback(engine.close)
        await engine.start()
        log.info("controller started", hub=identity, version=version("cernvmhub"))
        return engine

    def repository(self, store: Store) -> Repository:
        """Return the appliances, not loaded yet."""
        paths = [Path(path) for path in self.appliances]
        return Repository(store, paths, self.default_appliance or None, self.state)

    def open_hypervisor(self, uri: str) -> Hypervisor:
        """Return the hypervisor at a libvirt connection URI; a benchmark has its own."""
        return open_hypervisor(uri)

    # --- what the options mean ---

    def host_specs(self) -> list[HostSpec]:
        """Return the configured hosts with what shall exist on them."""
        return load_hosts(self.hosts, self.defaults())

    def defaults(self) -> Defaults:
        """Return what exists on a host that says nothing else."""
        bridged = self.network_mode == "bridge"
        network = machines_network(self.hub_name, self.bridge, self.subnet, bridged=bridged)
        gateway = str(network.gateway)
        ports = {self.hub_port, *(port for address, port in self.machine_bind if address == gateway)}
        filter_ = FilterSpec(
            name=self.hub_name,
            gateway=gateway,
            host_ports=tuple(sorted(ports)),
            blocked=local_addresses(network.cidr) if self.blocked is None else tuple(self.blocked),
            subnet=str(network.cidr),
        )
        pool = PoolSpec(self.hub_name, self.pool_path)
        bandwidth = Bandwidth(self.send_limit_mib, self.receive_limit_mib)
        return Defaults(pool, network, filter_, Path(self.credentials_dir).absolute(), bandwidth)

    def settings(self) -> Settings:
        """Return what the engine is told.

        Raises
        ------
        StateError
            The context of the site cannot be given to machines, or its rules of placement are none.
        """
        try:
            refuse_secrets(self.context, "c.CernVMController.context")
            refuse_oversize(self.context)
            policy = self.policy()
        except Invalid as error:
            raise StateError(error.detail) from None
        return Settings(
            hub_name=self.hub_name,
            boot_timeout=self.boot_timeout,
            session_timeout=self.session_timeout,
            server_timeout=self.server_timeout,
            reach_timeout=self.reach_timeout,
            agent_stop_timeout=self.agent_stop_timeout,
            shutdown_timeout=self.shutdown_timeout,
            poll_interval=self.poll_interval,
            keep_unused=self.keep_unused_bases,
            metering=self.metering,
            metrics_per_machine=self.metrics_per_machine,
            home_mib=self.home_mib,
            overcommit=self.overcommit(),
            policy=policy,
            quota=self.quota,
            reserved_memory_mib=self.reserved_memory_mib,
            xml_experts=frozenset(self.xml_experts),
            moves_encrypted=self.moves_encrypted,
            fence_command=tuple(self.fence_command),
            layer=Path(self.layer) if self.layer else None,
            context=dict(self.context),
            certificates=self._certificates(),
        )

    def _certificates(self) -> tuple[Path, ...]:
        given = (
            self.internal_ssl_cert or os.environ.get("JUPYTERHUB_SSL_CERTFILE"),
            self.internal_ssl_client_ca or os.environ.get("JUPYTERHUB_SSL_CLIENT_CA"),
        )
        return tuple(Path(path) for path in given if path)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program; a reason is said in a sentence, not in a traceback."""
    app = CernVMController()
    try:
        app.initialize(list(argv) if argv is not None else None)
        app.start()
    except (StateError, StoreError) as error:
        sys.exit(f"cernvm-controller: {error}")
    except CernVMError as error:
        sys.exit(f"cernvm-controller: {error.detail}")
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        sys.exit(
            f"cernvm-controller: the disk of {app.state} takes nothing more ({error.strerror}): make room "
            "there and start again."
        )
    finally:
        if app.subapp is not None:
            # traitlets makes a command the one application of its process; who calls this may go on.
            type(app.subapp).clear_instance()


if __name__ == "__main__":
    main()
