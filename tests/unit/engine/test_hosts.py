"""Hosts that an administrator attaches, tests, changes and detaches while the controller runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.clusters import ClusterChange, ClusterCreate, ClusterMembers
from cernvmapi.errors import Conflict, HostUnreachable, Invalid, NotFound
from cernvmapi.hosts import HostAttach, HostChange, HostTest
from cernvmapi.models import Level, Power, Status
from cernvmcontroller.hypervisor.fakehost import FakeDomain, FakeHost
from cernvmcontroller.store import Actor

ROOT = Actor("root")
FAR = "qemu+tls://far/system"


def attach(**fields):
    return HostAttach(**{"name": "far", "uris": [FAR], **fields})


@pytest.fixture
async def site(lab):
    """One configured host, and another one that can be attached."""
    lab.spare = {"far": FakeHost(), "farther": FakeHost()}
    return lab


async def attached(lab, **fields):
    return await lab.engine.hosts.attach(ROOT, attach(**fields))


async def change(lab, host, **fields):
    return await lab.engine.hosts.change(ROOT, host, HostChange(**fields))


async def test_a_host_is_attached_and_gets_a_users_machine(site):
    host = await attached(site, labels={"rack": "7"}, notes="The loud one.", address="admin@far.example")
    assert (host.id, host.name, host.alive, host.source) == ("far", "far", True, "api")
    assert (host.uris, host.level, host.reason) == ([FAR], Level.NOTEBOOK, "")
    assert (host.labels, host.notes, host.address) == ({"rack": "7"}, "The loud one.", "admin@far.example")
    assert (host.cpus, host.arch) == (8, "x86_64")
    await site.engine.inventory.links["far"].acceleration
    machine = await site.create(host="far")
    operation = await site.engine.machines.start(ALICE, machine.id, SESSION)
    assert (await site.engine.operations.wait(operation.id, 10)).status == "succeeded"
    assert machine.hypervisor == FAR
    assert set(site.spare["far"].pools) == {"labhub-far"}
    assert site.spare["far"].networks["labhub"]
    networks = {network.id: network.hosts for network in await site.engine.inventory.networks()}
    assert networks == {"labhub": ["far", "host1"]}
    pools = {pool.id: (pool.hosts, pool.alive) for pool in await site.engine.inventory.pools()}
    assert pools["labhub-far"] == (["far"], True)


async def test_an_attached_host_is_there_after_a_restart(site):
    await attached(site, labels={"rack": "7"}, maintenance=True)
    await change(site, "far", name="Rack 7, top", labels={"rack": "8"}, maintenance=False)
    machine = await site.create(host="Rack 7, top")
    await site.restart()
    host = await site.engine.inventory.host("far")
    assert (host.name, host.labels, host.maintenance, host.alive) == (
        "Rack 7, top",
        {"rack": "8"},
        False,
        True,
    )
    assert (await site.engine.machines.get(machine.id)).host == "far"


async def test_what_hosts_may_not_share_is_refused(site):
    await attached(site)
    for fields, why in (
        ({}, "There is a host far already"),
        ({"name": "host1"}, "There is a host host1 already"),
        ({"name": "other", "pool": "labhub-far"}, "both have the storage pool labhub-far"),
        ({"name": "other", "subnet": "10.80.8.0/24"}, r"10\.80\.8\.0/24 overlaps with 10\.80\.0\.0/20"),
    ):
        with pytest.raises(Conflict, match=why):
            await attached(site, **{"uris": ["qemu+tls://farther/system"], **fields})
    for fields, why in (
        ({"name": "test"}, "a word of the API"),
        ({"name": "other", "credentials": "none"}, r"The credentials none lack cacert\.pem"),
        ({"name": "other", "subnet": "8.8.8.0/24"}, "not for private use"),
        ({"name": "other", "subnet": "10.1.2.3/24"}, "is no network"),
    ):
        with pytest.raises(Invalid, match=why):
            await attached(site, **fields)
    assert [host.id for host in await site.engine.inventory.hosts()] == ["far", "host1"]


async def test_a_host_has_a_network_of_its_own(site):
    await attached(site, subnet="10.90.0.0/24")
    machine = await site.create(host="far")
    assert (machine.network, machine.address) == ("labhub-far", "10.90.0.16")
    network = site.spare["far"].networks["labhub-far"]
    assert len(network.bridge) == 15
    assert site.spare["far"].filters["labhub-far"].gateway == "10.90.0.1"


async def test_a_host_that_does_not_answer_is_kept_and_says_so(site):
    site.prepare = lambda name, hypervisor: setattr(hypervisor, "reachable", name != "far")
    host = await attached(site)
    assert (host.alive, host.unknown_since is not None) == (False, True)
    assert "does not answer" in host.reason
    with pytest.raises(HostUnreachable):
        await site.engine.hosts.look("far")
    site.hypervisors["far"].reconnect()
    await eventually(lambda: site.engine.inventory.alive("far"))
    assert (await site.engine.inventory.host("far")).alive


async def test_a_level_says_why_it_is_not_higher(site):
    session = await attached(site, uris=["qemu+ssh://far/session"])
    assert (session.level, session.alive) == (Level.PROVISION, True)
    assert "makes no network" in session.reason
    assert site.spare["far"].networks == {}
    esx = await attached(site, name="esx", uris=["esx://farther/"])
    assert (esx.level, esx.reason[:30]) == (Level.CONTROL, "Machines of the hub are made f")
    assert site.spare["farther"].pools == {}, "nothing of the hub's is made there"
    assert {pool.id for pool in await site.engine.inventory.pools()} == {"labhub-host1", "labhub-far"}
    assert (await site.create()).host == "host1"
    chosen = await change(site, "far", uris=[FAR], level=Level.OBSERVE)
    assert (chosen.level, chosen.reason) == (Level.OBSERVE, "")
    raised = await change(site, "far", level=Level.NOTEBOOK)
    assert (raised.level, raised.alive) == (Level.NOTEBOOK, True)
    assert "labhub" in site.spare["far"].networks


async def test_a_connection_is_tested_and_nothing_of_it_kept(site):
    report = await site.engine.hosts.test(HostTest(uri=FAR))
    assert (report.reachable, report.level, report.reason) == (True, Level.NOTEBOOK, "")
    assert (report.hostname, report.cpus, report.domain_types) == ("fake", 8, ["kvm", "qemu"])
    assert not site.hypervisors["far"].alive
    assert site.spare["far"].pools == {}
    assert [host.id for host in await site.engine.inventory.hosts()] == ["host1"]
    site.prepare = lambda _name, hypervisor: setattr(hypervisor, "reachable", False)
    report = await site.engine.hosts.test(HostTest(uri=FAR))
    assert (report.reachable, report.level) == (False, None)
    assert "does not answer" in report.reason
    with pytest.raises(Invalid, match="credentials none lack"):
        await site.engine.hosts.test(HostTest(uri=FAR, credentials="none"))


async def test_a_test_of_a_silent_host_ends(site, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.inventory.hosts._PATIENCE", 0.1)

    def hang(_name, hypervisor):
        hypervisor.deadline = 60
        hypervisor.hang("open")

    site.prepare = hang
    report = await site.engine.hosts.test(HostTest(uri=FAR))
    assert (report.reachable, report.reason) == (False, "It did not answer within 0.1 s.")


async def test_what_a_host_has_is_looked_at(site):
    await attached(site)
    await site.started(host="far")
    report = await site.engine.hosts.look("far")
    assert (report.domains, report.running) == (1, 1)
    assert [pool.name for pool in report.pools] == ["labhub-far"]
    assert [network.name for network in report.networks] == ["labhub"]
    with pytest.raises(NotFound):
        await site.engine.hosts.look("nowhere")


async def test_a_host_with_machines_or_homes_is_not_detached(site):
    await attached(site)
    machine = await site.started(host="far")
    with pytest.raises(Conflict, match="1 machines and 1 homes are on the host far: delete them"):
        await site.engine.hosts.detach(ROOT, "far", forget=False)
    with pytest.raises(Conflict, match="and it answers"):
        await site.engine.hosts.detach(ROOT, "far", forget=True)
    operation = await site.engine.machines.delete(ALICE, machine.id)
    await site.engine.operations.wait(operation.id, 10)
    with pytest.raises(Conflict, match="0 machines and 1 homes"):
        await site.engine.hosts.detach(ROOT, "far", forget=False)
    await site.engine.volumes.delete(ALICE, machine.home)
    await site.engine.hosts.detach(ROOT, "far", forget=False)
    assert [host.id for host in await site.engine.inventory.hosts()] == ["host1"]
    assert [pool.id for pool in await site.engine.inventory.pools()] == ["labhub-host1"]
    assert not site.hypervisors["far"].alive
    assert (await site.create()).host == "host1"
    with pytest.raises(Conflict, match="comes from the configuration"):
        await site.engine.hosts.detach(ROOT, "host1", forget=False)
    with pytest.raises(NotFound):
        await site.engine.hosts.detach(ROOT, "far", forget=False)


async def test_a_dead_host_is_forgotten_and_found_again(site):
    await attached(site)
    machine = await site.started(host="far")
    site.hypervisors["far"].disconnect()
    await site.until_true(machine.id, lambda found: found.power == Power.UNKNOWN)
    await site.engine.hosts.detach(ROOT, "far", forget=True)
    with pytest.raises(NotFound):
        await site.engine.machines.get(machine.id)
    (record,) = (await site.engine.audit.page(action="host.detach")).items
    assert (record.actor, record.details["machines"], record.details["homes"]) == (
        "root",
        [machine.id],
        [machine.home],
    )
    assert len(site.spare["far"].domains) == 1, "what is on it stays there"
    await attached(site)
    found = await site.until(machine.id, Status.RUNNING)
    assert (found.host, found.home) == ("far", machine.home)


async def test_the_configuration_goes_before_the_api(lab):
    for fields, why in (
        ({"uris": [FAR]}, "uris of the host host1 come from the configuration"),
        ({"level": Level.OBSERVE}, "level of the host host1"),
    ):
        with pytest.raises(Conflict, match=why):
            await change(lab, "host1", **fields)
    specs = lab.specs()
    configured = [{"labels": {"rack": "1"}, "maintenance": True}, {"labels": {"room": "b"}}, {}]
    seen = []
    for said in configured:
        lab.specs = lambda said=said: [_replace(specs[0], **said)]
        await lab.restart()
        if said.get("maintenance"):
            with pytest.raises(Conflict, match="in maintenance: change it there"):
                await change(lab, "host1", maintenance=False)
            with pytest.raises(Conflict, match="The label rack"):
                await change(lab, "host1", labels={"rack": "2"})
            await change(lab, "host1", labels={"gpu": "no"}, name="First")
        host = await lab.engine.inventory.host("host1")
        seen.append((host.labels, host.maintenance, host.name, host.source))
    assert seen == [
        ({"rack": "1", "gpu": "no"}, True, "First", "configuration"),
        ({"room": "b", "gpu": "no"}, False, "First", "configuration"),
        ({"gpu": "no"}, False, "First", "configuration"),
    ]


async def test_a_host_that_is_configured_now_is_no_longer_the_apis(site):
    await attached(site, labels={"rack": "7"})
    far = site.engine.inventory.specs["far"]
    specs = site.specs()
    site.specs = lambda: [*specs, far]
    await site.restart()
    host = await site.engine.inventory.host("far")
    assert (host.source, host.labels, host.alive) == ("configuration", {"rack": "7"}, True)
    with pytest.raises(Conflict, match="comes from the configuration"):
        await site.engine.hosts.detach(ROOT, "far", forget=False)


async def test_an_attached_host_whose_credentials_went_does_not_keep_the_controller_from_starting(site):
    folder = site.folder / "credentials" / "far"
    folder.mkdir(parents=True)
    for name in ("cacert.pem", "clientcert.pem", "clientkey.pem"):
        (folder / name).touch(mode=0o600)
    await attached(site, credentials="far")
    assert site.engine.inventory.links["far"].spec.uri == f"{FAR}?pkipath={folder}"
    assert (await site.engine.inventory.host("far")).uris == [FAR]
    (folder / "clientkey.pem").unlink()
    await site.restart()
    host = await site.engine.inventory.host("far")
    assert (host.alive, host.reason[:37]) == (False, "The credentials far lack clientkey.pe")
    assert (await site.create()).host == "host1"
    (folder / "clientkey.pem").touch(mode=0o600)
    assert (await change(site, "far", credentials="far")).alive


async def test_every_change_is_recorded_and_told(site):
    events = site.engine.events.subscribe(types={"host.changed", "host.deleted", "cluster.changed"})
    await attached(site)
    assert (await anext(events)).data["source"] == "api"
    await change(site, "far", notes="private words", maintenance=True)
    while not (event := await anext(events)).data["maintenance"]:
        pass
    assert event.subject == "host/far"
    clusters = site.engine.clusters
    await clusters.create(ROOT, ClusterCreate(id="x86", description="Old ones."))
    await clusters.put_members(ROOT, "x86", ClusterMembers(add_hosts=["far"]))
    await clusters.change(ROOT, "x86", ClusterChange(name="x86 and older"))
    assert [each.name for each in await clusters.all(host="far")] == ["default", "x86 and older"]
    await site.engine.hosts.detach(ROOT, "far", forget=False)
    while (event := await anext(events)).type != "host.deleted":
        pass
    assert (await clusters.get("x86")).hosts == []
    await clusters.delete(ROOT, "x86")
    page = await site.engine.audit.page(actor="root")
    assert [record.action for record in reversed(page.items)] == [
        "host.attach",
        "host.change",
        "cluster.create",
        "cluster.members",
        "cluster.change",
        "host.detach",
        "cluster.delete",
    ]
    assert "private words" not in str(page.items)


async def test_the_default_cluster_has_all_and_stays(site):
    clusters = site.engine.clusters
    await clusters.change(ROOT, "default", ClusterChange(name="Everything"))
    await attached(site)
    found = await clusters.get("default")
    assert (found.name, found.hosts, found.default) == ("Everything", ["far", "host1"], True)
    with pytest.raises(Conflict, match="cannot be deleted"):
        await clusters.delete(ROOT, "default")
    with pytest.raises(Conflict, match="All hosts and machines are in"):
        await clusters.put_members(ROOT, "default", ClusterMembers(remove_hosts=["far"]))
    for request in (ClusterCreate(id="default"), ClusterCreate(id="other", name="Everything")):
        with pytest.raises(Conflict, match="already"):
            await clusters.create(ROOT, request)


def _replace(spec, **said):
    return replace(spec, **{"labels": {}, "maintenance": False, **said})


async def test_all_domains_of_a_host_are_seen_and_foreign_ones_marked(site):
    machine = await site.create(notebook=False, home=False, server_name=None)
    operation = await site.engine.machines.start(ALICE, machine.id, None)
    await site.engine.operations.wait(operation.id, 10)
    old = FakeDomain(
        "7c1e7a52-0000-4000-8000-000000000001", "a-server-of-before", "<domain/>", Power.ON, "booted"
    )
    site.host.domains[old.uuid] = old
    foreign, ours = sorted(await site.engine.hosts.domains(machine.host), key=lambda each: not each.foreign)
    assert (foreign.name, foreign.foreign, foreign.machine, foreign.power) == (old.name, True, None, Power.ON)
    assert (ours.machine, ours.foreign, ours.uuid) == (machine.id, False, machine.uuid)
    del site.host.domains[old.uuid]
