"""Hosts, networks, pools, and promises that are never broken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.unit.store.samples import ALICE, NOW, machine, site

from cernvmapi.errors import NoRoom, NotFound
from cernvmapi.models import Level
from cernvmcontroller.store import Store, addresses, inventory, machines
from cernvmcontroller.store.inventory import Promise
from cernvmcontroller.store.tables import HostRow, NetworkRow, PoolRow

if TYPE_CHECKING:
    from collections.abc import Iterable


async def put(store: Store, ids: Iterable[str]) -> None:
    async with store.write(ALICE, "machine.create", "machines", audit=False) as tx:
        tx.session.add_all(machine(id_, vcpus=2, memory_mib=1000) for id_ in ids)


async def place(store: Store, id_: str, host: str = "one", vcpus: int | None = 20) -> bool:
    try:
        async with store.write(ALICE, "machine.place", f"machine/{id_}") as tx:
            row = await machines.get(tx.session, id_)
            await inventory.promise(tx, row, host, vcpus=vcpus, memory_mib=100_000)
    except NoRoom:
        return False
    return True


async def test_machines_placed_at_once_never_get_more_than_there_is(store: Store) -> None:
    await site(store)
    await put(store, [f"m-{n}" for n in range(30)])
    placed = await asyncio.gather(*(place(store, f"m-{n}") for n in range(30)))
    assert sum(placed) == 10
    async with store.read() as session:
        assert await inventory.promised(session) == {"one": Promise(20, 10_000, 10)}


async def test_a_stopped_machine_keeps_its_host_and_frees_its_promise(store: Store) -> None:
    await site(store)
    await put(store, ["m-0", "m-1"])
    assert await place(store, "m-0", vcpus=2)
    assert await place(store, "m-0", vcpus=2)
    assert not await place(store, "m-1", vcpus=3)
    async with store.write(ALICE, "machine.stopped", "machine/m-0") as tx:
        inventory.release(await machines.get(tx.session, "m-0"))
    async with store.read() as session:
        assert await inventory.promised(session) == {"one": Promise(0, 0, 1)}
        assert (await machines.get(session, "m-0")).host == "one"
    assert await place(store, "m-1", vcpus=3)


async def test_a_refused_promise_says_what_is_left(store: Store) -> None:
    await site(store)
    await put(store, ["m-0", "m-1"])
    await place(store, "m-0")
    for limits, sentence in (
        ({"vcpus": 3}, "Host one has 1 of vCPUs left, the machine needs 2:"),
        ({"memory_mib": 1500}, "Host one has 500 MiB of memory left, the machine needs 1000 MiB:"),
        ({"memory_mib": 10}, "Host one has 0 MiB of memory left"),
    ):
        with pytest.raises(NoRoom, match=sentence):
            async with store.write(ALICE, "machine.place", "machine/m-1") as tx:
                await inventory.promise(tx, await machines.get(tx.session, "m-1"), "one", **limits)
    with pytest.raises(NotFound, match="no host 'three'"):
        await place(store, "m-1", "three")


async def test_a_host_is_shown_with_what_is_promised_on_it(store: Store) -> None:
    await site(store)
    await put(store, ["m-0"])
    await place(store, "m-0", "two")
    async with store.read() as session:
        one, two = await inventory.host_models(session)
        assert await inventory.host_model(session, "two") == two
    assert (one.name, one.uris, one.level, one.cpus) == ("one", ["qemu:///system"], Level.NOTEBOOK, 8)
    assert (one.vcpus_promised, one.memory_promised_mib, one.machines) == (0, 0, 0)
    assert (two.vcpus_promised, two.memory_promised_mib, two.machines) == (2, 1000, 1)


async def test_a_host_is_changed_by_what_is_given_and_told_when_it_changed(store: Store) -> None:
    await site(store)
    events = store.events.subscribe()
    async with store.write(ALICE, "host.seen", "host/one", audit=False) as tx:
        await inventory.put_host(tx, HostRow(id="one", alive=True, acceleration="kvm", unknown_since=NOW))
    event = await anext(events)
    assert (event.type, event.subject, event.owner) == ("host.changed", "host/one", None)
    assert (event.data["alive"], event.data["acceleration"], event.data["cpus"]) == (True, "kvm", 8)
    async with store.write(ALICE, "host.seen", "host/one", audit=False) as tx:
        row = await inventory.put_host(
            tx, HostRow(id="one", alive=True, uris=["qemu:///system"], unknown_since=NOW)
        )
        assert row.cpus == 8
    assert store.events.last_id() == event.id


async def test_a_network_is_shown_with_its_hosts_and_addresses_taken(store: Store) -> None:
    await site(store)
    await put(store, ["m-0"])
    async with store.write(ALICE, "machine.place", "machine/m-0") as tx:
        await addresses.claim(tx, "lan", "m-0")
    async with store.read() as session:
        (lan,) = await inventory.network_models(session)
    assert (lan.name, lan.hosts, lan.addresses, lan.used) == ("hub-lan", ["one", "two"], 100, 1)


async def test_a_network_and_a_pool_move_between_hosts(store: Store) -> None:
    await site(store, hosts=("one", "two", "three"))
    events = store.events.subscribe()
    async with store.write(ALICE, "site", "site", audit=False) as tx:
        await inventory.put_network(tx, NetworkRow(id="lan"), ["two", "three", "two"])
        await inventory.put_pool(tx, PoolRow(id="disks", capacity_mib=10**7, shared=True), ["two"])
    assert [(await anext(events)).type for _ in range(2)] == ["network.changed", "pool.changed"]
    async with store.read() as session:
        assert [model.hosts for model in await inventory.network_models(session)] == [["three", "two"]]
        (pool,) = await inventory.pool_models(session)
        assert (pool.hosts, pool.shared, pool.capacity_mib) == (["two"], True, 10**7)
        assert (await inventory.network(session, "lan")).name == "hub-lan"
        assert (await inventory.pool(session, "disks")).path == ""
        with pytest.raises(NotFound):
            await inventory.pool(session, "none")
    last = store.events.last_id()
    async with store.write(ALICE, "site", "site", audit=False) as tx:
        await inventory.put_network(tx, NetworkRow(id="lan"), ["three", "two"])
        await inventory.put_pool(tx, PoolRow(id="disks", shared=True), ["two"])
    assert store.events.last_id() == last
