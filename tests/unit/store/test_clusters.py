"""Clusters: named sets of hosts and machines, each in several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.store.samples import ALICE, machine, site

from cernvmapi.clusters import Cluster, ClusterMembers
from cernvmapi.errors import NotFound
from cernvmcontroller.store import Store, clusters, machines
from cernvmcontroller.store.tables import ClusterRow

if TYPE_CHECKING:
    from collections.abc import Sequence


async def make(store: Store, *ids: str) -> None:
    async with store.write(ALICE, "cluster.create", "clusters") as tx:
        tx.session.add_all(ClusterRow(id=id_, name=id_) for id_ in ids)


async def put(store: Store, id_: str, **members: Sequence[str]) -> None:
    async with store.write(ALICE, "cluster.members", f"cluster/{id_}") as tx:
        await clusters.change_members(tx, id_, ClusterMembers(**members))  # type: ignore[arg-type]


async def known(store: Store, **of: str) -> dict[str, Cluster]:
    async with store.read() as session:
        return {each.id: each for each in await clusters.models(session, **of)}


async def machines_of(store: Store, cluster: str) -> list[str]:
    async with store.read() as session:
        found = await machines.page(session, machines.MachineQuery(cluster=cluster, sort="name"))
    return [row.id for row in found.rows]


@pytest.fixture
async def filled(store: Store) -> Store:
    await site(store)
    async with store.write(ALICE, "machine.create", "machines", audit=False) as tx:
        tx.session.add_all(machine(id_) for id_ in ("m-1", "m-2", "m-3"))
    await make(store, "x86", "x86_64")
    return store


async def test_all_hosts_and_machines_are_in_the_default_cluster(filled: Store) -> None:
    found = await known(filled)
    assert list(found) == ["default", "x86", "x86_64"]
    assert (found["default"].default, found["default"].hosts, found["default"].machines) == (
        True,
        ["one", "two"],
        3,
    )
    assert (found["x86"].default, found["x86"].hosts, found["x86"].machines) == (False, [], 0)
    assert await machines_of(filled, "default") == ["m-1", "m-2", "m-3"]


async def test_a_host_and_a_machine_are_in_several_clusters(filled: Store) -> None:
    await put(filled, "x86", add_hosts=["one", "two"], add_machines=["m-1", "m-2"])
    await put(filled, "x86_64", add_hosts=["one"], add_machines=["m-1"])
    assert set(await known(filled, host="one")) == {"default", "x86", "x86_64"}
    assert set(await known(filled, machine="m-2")) == {"default", "x86"}
    assert await machines_of(filled, "x86") == ["m-1", "m-2"]
    assert await machines_of(filled, "x86_64") == ["m-1"]
    async with filled.read() as session:
        assert await clusters.of_hosts(session) == {
            "one": frozenset({"x86", "x86_64"}),
            "two": frozenset({"x86"}),
        }


async def test_coming_in_and_leaving_can_be_repeated(filled: Store) -> None:
    for _ in range(2):
        await put(filled, "x86", add_hosts=["one", "one"], add_machines=["m-1"])
    for _ in range(2):
        await put(filled, "x86", remove_hosts=["one", "two"], add_machines=["m-2"], remove_machines=["m-1"])
    found = (await known(filled))["x86"]
    assert (found.hosts, found.machines) == ([], 1)
    assert await machines_of(filled, "x86") == ["m-2"]


async def test_who_does_not_exist_comes_in_with_nobody(filled: Store) -> None:
    for members in ({"add_hosts": ["one", "nine"]}, {"add_hosts": ["one"], "remove_machines": ["m-9"]}):
        with pytest.raises(NotFound, match=r"no (host|machine) '(nine|m-9)'; nothing was changed"):
            await put(filled, "x86", **members)
    with pytest.raises(NotFound, match="no cluster 'x'"):
        await put(filled, "x", add_hosts=["one"])
    assert (await known(filled))["x86"].hosts == []


async def test_a_cluster_goes_and_what_was_in_it_stays(filled: Store) -> None:
    await put(filled, "x86", add_hosts=["one"], add_machines=["m-1"])
    events = filled.events.subscribe()
    async with filled.write(ALICE, "cluster.delete", "cluster/x86") as tx:
        await clusters.remove(tx, await clusters.get(tx.session, "x86"))
    event = await anext(events)
    assert (event.type, event.subject, event.data["hosts"]) == ("cluster.deleted", "cluster/x86", ["one"])
    assert set(await known(filled, host="one")) == {"default"}
    assert await machines_of(filled, "default") == ["m-1", "m-2", "m-3"]


async def test_a_machine_that_goes_leaves_its_clusters(filled: Store) -> None:
    await put(filled, "x86", add_machines=["m-1", "m-2"])
    async with filled.write(ALICE, "machine.delete", "machine/m-1") as tx:
        await machines.remove(tx, await machines.get(tx.session, "m-1"))
    assert (await known(filled))["x86"].machines == 1
