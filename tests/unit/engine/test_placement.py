"""Where machines go: what a request, an administrator and a site say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted import ALICE, BOB, SESSION, Lab

from cernvmapi.clusters import ClusterMembers
from cernvmapi.errors import Conflict, NoRoom, NotFound
from cernvmapi.models import Status
from cernvmcontroller.placement import Policy
from cernvmcontroller.store import Actor, clusters
from cernvmcontroller.store import inventory as rows
from cernvmcontroller.store.tables import ClusterRow, HostRow

ROOT = Actor("root")


def plain(**fields):
    """Return the request for a machine without a notebook."""
    return {"notebook": False, "home": False, "server_name": None, **fields}


async def label(lab, host, **columns):
    async with lab.store.write(ROOT, "host.change", f"host/{host}") as tx:
        await rows.put_host(tx, HostRow(id=host, **columns))


async def cluster(lab, id_, *hosts):
    async with lab.store.write(ROOT, "cluster.create", f"cluster/{id_}") as tx:
        tx.session.add(ClusterRow(id=id_, name=id_))
        await clusters.change_members(tx, id_, ClusterMembers(add_hosts=list(hosts)))


async def refused(lab, **fields):
    with pytest.raises(NoRoom) as caught:
        await lab.create(**fields)
    return {entry["host"]: entry["filter"] for entry in caught.value.errors}


async def test_a_machine_is_placed_in_its_cluster_and_is_in_it(two_hosts):
    await cluster(two_hosts, "physics", "host2")
    for _ in range(2):
        machine = await two_hosts.create(**plain(cluster="physics"))
        assert (machine.host, machine.cluster) == ("host2", "physics")
    other = await two_hosts.create(**plain())
    page = await two_hosts.engine.machines.page(cluster="physics")
    assert page.total == 2
    assert other.id not in {each.id for each in page.items}
    assert (await two_hosts.engine.machines.page(cluster="default")).total == 3
    await cluster(two_hosts, "empty")
    assert await refused(two_hosts, **plain(cluster="empty")) == {"host1": "cluster", "host2": "cluster"}
    with pytest.raises(NotFound, match="no cluster 'chemistry'"):
        await two_hosts.create(**plain(cluster="chemistry"))


async def test_one_host_labels_and_an_architecture_are_asked_for(two_hosts):
    await label(two_hosts, "host1", labels={"rack": "1"})
    await label(two_hosts, "host2", labels={"rack": "2"}, cpu_features=["avx2"])
    assert (await two_hosts.create(**plain(host="host2"))).host == "host2"
    assert (await two_hosts.create(**plain(host_labels={"rack": "1"}))).host == "host1"
    assert (await two_hosts.create(**plain(cpu_features=["avx2"]))).host == "host2"
    assert (await two_hosts.create(**plain(arch="x86_64"))).host in {"host1", "host2"}
    assert await refused(two_hosts, **plain(host="host1", arch="aarch64")) == {
        "host1": "arch",
        "host2": "requested",
    }
    assert await refused(two_hosts, **plain(host_labels={"rack": "1"}, host="host2")) == {
        "host1": "requested",
        "host2": "labels",
    }


async def test_machines_of_a_group_are_apart(two_hosts):
    group = [await two_hosts.create(**plain(apart="servers")) for _ in range(2)]
    assert {machine.host for machine in group} == {"host1", "host2"}
    assert await refused(two_hosts, **plain(apart="servers")) == {"host1": "apart", "host2": "apart"}
    assert (await two_hosts.create(BOB, **plain(apart="servers"))).host, "another's group is another group"


async def test_a_host_in_maintenance_gets_no_machine_and_starts_none(two_hosts):
    machine = await two_hosts.create(**plain(host="host1"))
    await label(two_hosts, "host1", maintenance=True)
    assert (await two_hosts.create(**plain())).host == "host2"
    with pytest.raises(Conflict, match="host1 is in maintenance"):
        await two_hosts.engine.machines.start(ALICE, machine.id, None)
    await label(two_hosts, "host1", maintenance=False)
    await two_hosts.engine.machines.start(ALICE, machine.id, None)
    await two_hosts.until(machine.id, Status.RUNNING)


async def test_a_network_that_the_hub_does_not_reach_has_no_notebooks(two_hosts):
    await label(two_hosts, "host1", reached=False)
    assert (await two_hosts.create()).host == "host2"
    assert (await two_hosts.create(**plain(host="host1"))).host == "host1"


async def test_why_a_machine_is_where_it_is_is_on_record(two_hosts):
    machine = await two_hosts.create(**plain())
    (record,) = (await two_hosts.engine.audit.page(action="machine.create")).items
    assert record.details["host"] == machine.host
    assert set(record.details["weights"]) == {"accelerated", "free_memory", "free_processors", "base_present"}


async def test_a_site_fills_one_host_after_the_other(tmp_path):
    lab = Lab(tmp_path, hosts=2)
    lab.settings = replace(lab.settings, policy=Policy.of(pack=True))
    await lab.begin()
    assert len({(await lab.create(**plain())).host for _ in range(4)}) == 1
    await lab.end()


async def test_a_site_says_who_has_enough(tmp_path):
    def quota(usage):
        if usage.vcpus + usage.wanted_vcpus > 2:
            return f"{usage.owner} has {usage.vcpus} vCPUs of 2: stop a machine."
        return None

    lab = Lab(tmp_path)
    lab.settings = replace(lab.settings, quota=quota)
    await lab.begin()
    first = await lab.started(vcpus=1)
    second = await lab.create(**plain(vcpus=1))
    assert await _sentence(lab) == "alice has 2 vCPUs of 2: stop a machine."
    assert (await lab.create(BOB, **plain(vcpus=1))).owner == "bob"
    await lab.engine.machines.start(ALICE, second.id, None)
    await lab.until(second.id, Status.RUNNING)
    await lab.engine.machines.poweroff(ALICE, second.id)
    await lab.until(second.id, Status.STOPPED)
    third = await lab.create(**plain(vcpus=1))
    with pytest.raises(NoRoom, match="alice has 2 vCPUs of 2"):
        await lab.engine.machines.start(ALICE, second.id, None)
    await lab.engine.machines.start(ALICE, first.id, SESSION)  # what runs already asks for nothing
    assert third.status is Status.PENDING
    await lab.end()


async def _sentence(lab):
    with pytest.raises(NoRoom) as caught:
        await lab.create(**plain(vcpus=1))
    assert [entry["filter"] for entry in caught.value.errors] == ["quota"]
    return caught.value.detail
