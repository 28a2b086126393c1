"""A site for the controller under load: hosts of libvirt's test driver, and machines that exist already."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import insert

from cernvmapi.models import Phase, PhaseMark, Power, Status, Target
from cernvmcontroller import naming
from cernvmcontroller.hypervisor.metadata import serialise
from cernvmcontroller.hypervisor.specs import MachineMetadata, NetworkSpec
from cernvmcontroller.statedir import write_private
from cernvmcontroller.store import Actor, Store, inventory
from cernvmcontroller.store.tables import AddressRow, HostRow, MachineRow, NetworkRow

if TYPE_CHECKING:
    from pathlib import Path

HUB_NAME = "loadbench"
SUBNET = IPv4Network("127.107.0.0/16")
"""Of loopback: whoever plays a machine can be reached there, and nobody from outside."""

AGENTS = "agents.json"
"""File in the state folder: which session the agent of a domain (by UUID) has."""

PORT = 8888
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_ROWS = 500

_NODE = """
<cpu><mhz>3000</mhz><model>test</model><active>{cpus}</active><nodes>1</nodes><sockets>1</sockets>
<cores>{cpus}</cores><threads>1</threads></cpu><memory>{memory}</memory>
"""


@dataclass(frozen=True)
class Known:
    """A machine that the database and its host know."""

    id: str
    uuid: str
    owner: str
    host: str
    address: str | None
    running: bool

    @property
    def session(self) -> str:
        """Id of the session that its agent has."""
        return f"s-{self.uuid[:12]}"


@dataclass
class Site:
    """What a controller finds when it starts.

    Parameters
    ----------
    folder
        For its state, its configuration and its hosts.
    hosts
        How many.
    machines
        How many there are already, spread over the hosts.
    running
        How many of them run; each has an address. The others are off and have no domain.
    host_memory_mib, host_cpus
        Of each host. Default: room for everything.
    database_url
        Default: SQLite in the state folder.
    """

    folder: Path
    hosts: int = 10
    machines: int = 0
    running: int | None = None
    host_memory_mib: int = 1 << 22
    host_cpus: int = 4096
    database_url: str | None = None
    hub_id: str = field(default_factory=lambda: str(uuid4()))
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    known: list[Known] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config = self.folder / "controller_config.py"
        self.names = [f"host{number + 1}" for number in range(self.hosts)]
        self.url = self.database_url or f"sqlite+aiosqlite:///{self.folder / 'controller.sqlite'}"
        running = self.machines if self.running is None else self.running
        self._network = NetworkSpec(HUB_NAME, f"{HUB_NAME}-br", SUBNET, hosts=max(4000, running))
        self.known = [self._known(number, running=number < running) for number in range(self.machines)]

    def _known(self, number: int, *, running: bool) -> Known:
        machine = naming.new_id("m")
        return Known(
            id=machine,
            uuid=naming.domain_uuid(self.hub_id, machine),
            owner=f"user{number:05}",
            host=self.names[number % self.hosts],
            address=str(self._network.address(number)) if running else None,
            running=running,
        )

    async def build(self, *, port: int, **options: Any) -> None:
        """Write everything: secrets, hosts, appliance, configuration, database.

        Parameters
        ----------
        port
            Of the controller, on loopback.
        options
            More of `CernVMController`'s.
        """
        write_private(self.folder / "hub_id", self.hub_id)
        write_private(self.folder / "hub_token", self.token)
        agents = {known.uuid: known.session for known in self.known if known.running}
        (self.folder / AGENTS).write_text(json.dumps(agents))
        hosts = [self._host(name) for name in self.names]
        chosen = {
            "state_dir": str(self.folder),
            "database_url": self.url,
            "hub_name": HUB_NAME,
            "bind_url": f"http://127.0.0.1:{port}",
            "subnet": str(SUBNET),
            "blocked": [],
            "hosts": hosts,
            "appliances": [str(self._appliance())],
            "vcpu_overcommit": 1.0,
            "reserved_memory_mib": 0,
            "reach_timeout": 0,  # the machines of libvirt's test driver have no servers
            "metering": False,  # a part of its own measures that
            "controller_log_level": "WARNING",
            **options,
        }
        lines = [f"c.CernVMController.{name} = {value!r}" for name, value in chosen.items()]
        self.config.write_text("\n".join(["c = get_config()", *lines, ""]))
        await self._fill()

    def _host(self, name: str) -> dict[str, Any]:
        node = _NODE.format(cpus=self.host_cpus, memory=self.host_memory_mib * 1024)
        domains = "".join(self._domain(known) for known in self.known if known.host == name and known.running)
        file = self.folder / f"{name}.xml"
        file.write_text(f"<node>{node}{domains}</node>")
        return {
            "name": name,
            "uris": [f"test://{file}"],
            "pool": f"{HUB_NAME}-{name}",
            "pool_path": f"/nowhere/{name}",
            "acceleration": "qemu",
        }

    def _domain(self, known: Known) -> str:
        told = MachineMetadata(self.hub_id, known.id, owner=known.owner, server_name="", notebook=True)
        return (
            f"<domain type='test'><name>{naming.domain_name(HUB_NAME, known.id)}</name>"
            f"<uuid>{known.uuid}</uuid><metadata>{serialise(told)}</metadata><memory unit='MiB'>1024</memory>"
            "<vcpu>1</vcpu><os><type>hvm</type></os></domain>"
        )

    def _appliance(self) -> Path:
        header = b"QFI\xfb" + b"\0" * 20 + (2 << 30).to_bytes(8)
        (self.folder / "appliance.qcow2").write_bytes(header)
        manifest = self.folder / "appliance.json"
        record = {
            "id": "default",
            "title": "CernVM",
            "version": "1",
            "sha256": hashlib.sha256(header).hexdigest(),
            "size": len(header),
            "virtual_size_mib": 2048,
            "arch": "i686",  # as the test driver says of its hosts
            "agent_protocol": 1,
            "updated": _BEGAN.isoformat(),
            "file": "appliance.qcow2",
        }
        manifest.write_text(json.dumps(record))
        return manifest

    async def _fill(self) -> None:
        store = await Store.open(self.url, self.hub_id)
        try:
            async with store.write(Actor.system(), "site", "hosts", audit=False) as tx:
                for name in self.names:
                    await inventory.put_host(tx, HostRow(id=name, name=name, uris=[f"test:///{name}"]))
                network = NetworkRow(
                    id=HUB_NAME,
                    name=HUB_NAME,
                    cidr=str(SUBNET),
                    gateway=str(self._network.gateway),
                    addresses=self._network.hosts,
                )
                await inventory.put_network(tx, network, self.names)
            for begin in range(0, len(self.known), _ROWS):
                rows = [
                    self._row(n, known) for n, known in enumerate(self.known[begin : begin + _ROWS], begin)
                ]
                reserved = [
                    {"network_id": HUB_NAME, "index": number, "machine_id": known.id}
                    for number, known in enumerate(self.known[begin : begin + _ROWS], begin)
                    if known.address
                ]
                async with store.write(Actor.system(), "site", "machines", audit=False) as tx:
                    await tx.session.execute(insert(MachineRow), rows)
                    if reserved:
                        await tx.session.execute(insert(AddressRow), reserved)
        finally:
            await store.close()

    def _row(self, number: int, known: Known) -> dict[str, Any]:
        begun = _BEGAN + timedelta(seconds=number)
        on = known.running
        marks = [
            PhaseMark(phase=phase, message="As a start says it", progress=10, at=begun) for phase in Phase
        ]
        name = f"analysis {number} of {known.owner}"
        return {
            "id": known.id,
            "name": name,
            "owner": known.owner,
            "server_name": "",
            "notebook": True,
            "appliance": "default",
            "appliance_title": "CernVM",
            "flavor": "small",
            "vcpus": 1,
            "memory_mib": 1024,
            "disk_mib": 8192,
            "host": known.host,
            "promised": on,
            "uuid": known.uuid,
            "network": HUB_NAME if on else None,
            "address": known.address,
            "port": PORT,
            "status": Status.RUNNING if on else Status.STOPPED,
            "target": Target.RUNNING if on else Target.STOPPED,
            "power": Power.ON if on else Power.OFF,
            "session_id": known.session if on else None,
            "phase": Phase.READY if on else None,
            "progress": 100 if on else 0,
            "timeline": marks,
            "revision": 12,
            "created": begun,
            "changed": begun,
            "name_key": name.casefold(),
            "owner_key": known.owner,
            "host_key": known.host,
            "search_text": "\n".join([name, known.owner, known.address or "", known.id, known.host]),
        }
