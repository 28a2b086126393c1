"""Objects to put into a store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cernvmapi.models import Appliance
from cernvmcontroller.store import Actor, inventory
from cernvmcontroller.store.tables import HostRow, MachineRow, NetworkRow, PoolRow

if TYPE_CHECKING:
    from cernvmcontroller.store import Store

HUB = "2b0b8c1e-8a3f-4a51-9a55-0d6c1c1f7e10"
ALICE = Actor("alice", "192.0.2.1", "r-1")
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)


def machine(id_: str, **other: Any) -> MachineRow:
    values: dict[str, Any] = {
        "id": id_,
        "name": f"machine {id_}",
        "owner": "alice",
        "server_name": None,
        "appliance": "default",
        "appliance_title": "CernVM",
        "flavor": "small",
        "vcpus": 1,
        "memory_mib": 1024,
        "disk_mib": 8192,
        "uuid": str(uuid4()),
    }
    return MachineRow(**(values | other))


def appliance(id_: str = "default", **other: Any) -> Appliance:
    values: dict[str, Any] = {
        "id": id_,
        "title": "CernVM",
        "version": "1",
        "sha256": "0" * 64,
        "size": 10**10,
        "virtual_size_mib": 8192,
        "updated": NOW,
    }
    return Appliance(**(values | other))


async def site(store: Store, *, hosts: tuple[str, ...] = ("one", "two"), addresses: int = 100) -> None:
    """Two hosts with a network and a pool."""
    async with store.write(Actor.system(), "site", "site", audit=False) as tx:
        for id_ in hosts:
            await inventory.put_host(tx, HostRow(id=id_, name=id_, uris=["qemu:///system"], cpus=8))
        network = NetworkRow(
            id="lan", name="hub-lan", cidr="10.0.0.0/20", gateway="10.0.0.1", addresses=addresses
        )
        await inventory.put_network(tx, network, hosts)
        await inventory.put_pool(tx, PoolRow(id="disks", name="hub-disks"), hosts)
