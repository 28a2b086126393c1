"""Volumes: a home belongs to one server and one machine at a time."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError
from tests.unit.store.samples import ALICE, machine, site

from cernvmapi.errors import Conflict, NotFound
from cernvmapi.models import VolumeKind
from cernvmcontroller.store import Store, machines, volumes
from cernvmcontroller.store.tables import VolumeRow
from cernvmcontroller.store.volumes import VolumeQuery


def home(id_: str = "v-1", owner: str = "alice", server_name: str = "") -> VolumeRow:
    return VolumeRow(
        id=id_,
        kind=VolumeKind.HOME,
        name=f"home-{id_}.qcow2",
        pool="disks",
        owner=owner,
        server_name=server_name,
        capacity_mib=10**6,
    )


async def put(store: Store, *rows: VolumeRow) -> None:
    async with store.write(ALICE, "volume.create", "volumes") as tx:
        for row in rows:
            await volumes.add(tx, row)


async def attach(store: Store, volume_id: str, machine_id: str) -> None:
    async with store.write(ALICE, "volume.attach", f"volume/{volume_id}") as tx:
        await volumes.attach(tx, await volumes.get(tx.session, volume_id), machine_id)


async def test_a_home_is_found_by_its_server_and_by_its_name(store: Store) -> None:
    await site(store)
    await put(store, home(), home("v-2", server_name="two"))
    async with store.read() as session:
        found = await volumes.home(session, "alice", "two")
        assert found is not None
        assert volumes.to_model(found).name == "home-v-2.qcow2"
        assert await volumes.home(session, "bob", "") is None
        assert (await volumes.by_name(session, "disks", "home-v-2.qcow2")) is found
        assert (await volumes.by_name(session, "disks", "home")) is None
    event = await anext(store.events.subscribe(store.events.last_id() - 1))
    assert (event.type, event.subject, event.owner) == ("volume.changed", "volume/v-2", "alice")


async def test_a_server_has_one_home(store: Store) -> None:
    await site(store)
    await put(store, home())
    with pytest.raises(IntegrityError):
        await put(store, home("v-2"))


async def test_a_home_is_attached_to_one_machine_at_a_time(store: Store) -> None:
    await site(store)
    await put(store, home())
    async with store.write(ALICE, "machine.create", "machines") as tx:
        tx.session.add_all([machine("m-1"), machine("m-2")])
    await attach(store, "v-1", "m-1")
    await attach(store, "v-1", "m-1")
    with pytest.raises(Conflict, match="attached to machine m-1: stop that one first"):
        await attach(store, "v-1", "m-2")
    async with store.read() as session:
        assert [row.id for row in await volumes.of_machine(session, "m-1")] == ["v-1"]
    async with store.write(ALICE, "volume.detach", "volume/v-1") as tx:
        await volumes.detach(tx, await volumes.get(tx.session, "v-1"))
    await attach(store, "v-1", "m-2")


async def test_a_home_outlives_its_machine(store: Store) -> None:
    await site(store)
    await put(store, home())
    async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
        tx.session.add(machine("m-1", home="v-1"))
    await attach(store, "v-1", "m-1")
    async with store.write(ALICE, "machine.delete", "machine/m-1") as tx:
        await machines.remove(tx, await machines.get(tx.session, "m-1"))
    async with store.read() as session:
        assert (await volumes.get(session, "v-1")).machine is None


async def test_a_machine_and_its_disk_are_written_together_in_any_order(store: Store) -> None:
    await site(store)
    async with store.write(ALICE, "machine.create", "machine/m-1") as tx:
        disk = VolumeRow(id="v-1", kind=VolumeKind.DISK, name="disk-m-1.qcow2", pool="disks", machine="m-1")
        tx.session.add_all([disk, machine("m-1")])


async def test_volumes_are_listed_newest_first(store: Store) -> None:
    await site(store)
    await put(store, *(home(f"v-{n}", owner=f"user{n % 2}", server_name=str(n)) for n in range(5)))
    await put(store, VolumeRow(id="v-base", kind=VolumeKind.BASE, name="base-0.qcow2", pool="disks"))
    async with store.read() as session:
        first = await volumes.page(session, VolumeQuery(kind=VolumeKind.HOME, limit=3))
        rest = await volumes.page(session, VolumeQuery(kind=VolumeKind.HOME, limit=3, cursor=first.next))
        assert [row.id for row in (*first.rows, *rest.rows)] == ["v-4", "v-3", "v-2", "v-1", "v-0"]
        assert (first.total, rest.total, rest.next) == (5, 5, None)
        assert (await volumes.page(session, VolumeQuery(owner="user1"))).total == 2
        assert (await volumes.page(session, VolumeQuery(pool="disks"))).total == 6
        assert (await volumes.page(session, VolumeQuery(machine="m-1"))).total == 0


async def test_a_deleted_volume_is_gone_and_told(store: Store) -> None:
    await site(store)
    await put(store, home())
    async with store.write(ALICE, "volume.delete", "volume/v-1") as tx:
        await volumes.remove(tx, await volumes.get(tx.session, "v-1"))
    event = await anext(store.events.subscribe(store.events.last_id() - 1))
    assert (event.type, event.data["id"]) == ("volume.deleted", "v-1")
    async with store.read() as session:
        with pytest.raises(NotFound, match="no volume 'v-1'"):
            await volumes.get(session, "v-1")
