"""``cernvm-controller check`` says where database and hosts do not agree, and mends what can be mended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from scripted import ALICE, HUB, SESSION

from cernvmapi.hosts import HostAttach
from cernvmapi.models import Power, Status, Target
from cernvmcontroller import naming
from cernvmcontroller.commands.check import Check
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.fakehost import FakeDomain, FakeHost, FakeVolume
from cernvmcontroller.statedir import StateError, take_lock
from cernvmcontroller.store import Actor
from cernvmcontroller.store.tables import AddressRow, HostRow, MachineRow, MetaRow, OperationRow, VolumeRow
from cernvmcontroller.upkeep import garbage
from cernvmcontroller.upkeep.agreement import Kind

POOL = "labhub-host1"
GONE = naming.new_id("m")


class Broken:
    """A machine that runs and one that is off, whose database or host a test breaks."""

    def __init__(self, lab, on, off):
        self.lab, self.on, self.off = lab, on, off
        self.pool = lab.host.pools[POOL]

    async def row(self, table, key, **values):
        async with self.lab.store.write(Actor.system(), "test", "test", audit=False) as tx:
            row = await tx.session.get(table, key)
            for name, value in values.items():
                setattr(row, name, value)

    async def add(self, row):
        async with self.lab.store.write(Actor.system(), "test", "test", audit=False) as tx:
            tx.session.add(row)

    async def drop(self, table, key):
        async with self.lab.store.write(Actor.system(), "test", "test", audit=False) as tx:
            await tx.session.delete(await tx.session.get(table, key))


async def runs(it):
    it.lab.host.domains[it.off.uuid].power = Power.ON


async def not_running(it):
    it.lab.host.domains[it.on.uuid].power = Power.OFF


async def vanished(it):
    del it.lab.host.domains[it.on.uuid]


async def left_over(it):
    name = naming.disk_volume(GONE)
    it.pool.volumes[name] = FakeVolume(name, f"/pool/{name}", 1)


async def disk_lost(it):
    del it.pool.volumes[naming.disk_volume(it.off.id)]


async def seed_unknown(it):
    [row] = [each for each in await volumes(it) if each.name == naming.seed_volume(it.off.id)]
    await it.drop(VolumeRow, row.id)


async def no_sidecar(it):
    del it.pool.volumes[naming.sidecar_volume(it.off.home)]


async def wrong_sidecar(it):
    volume = it.pool.volumes[naming.sidecar_volume(it.off.home)]
    volume.data = volume.data.replace(b"alice", b"mallory")


async def sidecar_alone(it):
    name = naming.sidecar_volume("v-aaaaaaaaaaaa")
    data = it.pool.volumes[naming.sidecar_volume(it.off.home)].data
    it.pool.volumes[name] = FakeVolume(name, f"/pool/{name}", 1, data=data)


async def unfinished(it):
    name = naming.base_volume("a" * 64)
    it.pool.volumes[name] = FakeVolume(name, f"/pool/{name}", 1, complete=False)


async def address(it):
    await it.drop(AddressRow, ("labhub", 0))


async def another_owner(it):
    await it.row(MachineRow, it.on.id, owner="alicia")


async def promise(it):
    await it.row(MachineRow, it.off.id, promised=True)


async def held(it):
    await it.row(VolumeRow, it.off.home, machine=it.off.id)


async def domain_unknown(it):
    await it.row(VolumeRow, it.on.home, machine=None)
    await it.drop(MachineRow, it.on.id)


async def home_unknown(it):
    await it.drop(VolumeRow, it.off.home)


async def home_lost(it):
    del it.pool.volumes[naming.home_volume(it.off.home)]


async def unpromised(it):
    await it.row(MachineRow, it.on.id, promised=False)


async def home_of_none(it):
    await it.row(VolumeRow, it.on.home, machine=None)


async def unreadable_sidecar(it):
    it.pool.volumes[naming.sidecar_volume(it.off.home)].data = b"{"


async def operation(it):
    await it.add(
        OperationRow(id="o-test", action="machine.start", subject=f"machine/{it.on.id}", actor="alice")
    )


async def unneeded(it):
    name = naming.base_volume("b" * 64)
    it.pool.volumes[name] = FakeVolume(name, f"/pool/{name}", 1)
    long_ago = datetime.now(UTC) - timedelta(days=30)
    await it.add(MetaRow(key=garbage.KEY, value=garbage.write({POOL: {name: long_ago}})))


async def copied(it):
    original, uuid = it.lab.host.domains[it.off.uuid], "7d9e1c5a-0b7e-4a53-9c0b-2f4f6f0e8d11"
    xml = original.xml.replace(original.uuid, uuid)
    it.lab.host.domains[uuid] = FakeDomain(uuid, "copy", xml)


async def host_gone(it):
    await it.add(HostRow(id="elsewhere", name="elsewhere", uris=[]))
    await it.row(MachineRow, it.off.id, host="elsewhere")


async def address_twice(it):
    await it.row(MachineRow, it.off.id, network=it.on.network, address=it.on.address)


async def address_differs(it):
    domain = it.lab.host.domains[it.on.uuid]
    domain.xml = domain.xml.replace(f'address="{it.on.address}"', 'address="10.80.0.99"')


async def home_twice(it):
    domain = it.lab.host.domains[it.off.uuid]
    domain.xml, domain.power = domain.xml.replace(it.off.home, it.on.home), Power.ON


async def home_of_nobody(it):
    await home_unknown(it)
    await no_sidecar(it)


async def volumes(it):
    async with it.lab.store.read() as session:
        return [await session.get(VolumeRow, each.id) for each in (await it.lab.engine.volumes.page()).items]


MENDED = {
    runs: "machine-runs",
    not_running: "machine-not-running",
    vanished: "machine-not-running",
    left_over: "volume-left-over",
    disk_lost: "row-without-volume",
    seed_unknown: "volume-without-row",
    no_sidecar: "home-without-sidecar",
    wrong_sidecar: "sidecar-wrong",
    sidecar_alone: "sidecar-without-home",
    unfinished: "upload-unfinished",
    address: "address",
    another_owner: "domain-tells-another",
    promise: "promise",
    held: "home-held",
    domain_unknown: "domain-without-row",
    home_unknown: "home-without-row",
    unpromised: "promise",
    home_of_none: "home-held",
    unreadable_sidecar: "home-without-sidecar",
    operation: "operation",
    unneeded: "garbage",
}
LEFT = {
    home_lost: "home-lost",
    home_of_nobody: "home-without-row",
    copied: "copied-domain",
    host_gone: "host-not-configured",
    address_twice: "address-twice",
    address_differs: "address-differs",
    home_twice: "home-twice",
}
"""What a person has to decide."""


@pytest.fixture
async def program(lab, monkeypatch):
    """Return what makes the command, on a lab with a machine that runs and one that is off."""
    on, off = await lab.started(server_name="on"), await lab.started(server_name="off")
    await lab.engine.operations.wait((await lab.engine.machines.shutdown(ALICE, off.id)).id, 10)
    await lab.engine.reconciler.quiet()  # nothing looks at what a test is about to break
    (lab.folder / "hub_id").write_text(HUB)
    lab.broken = Broken(lab, on, off)

    def make(**options):
        return Check(state_dir=str(lab.folder), settle=0, appliances=[str(lab.manifest)], **options)

    monkeypatch.setattr(
        "cernvmcontroller.commands.check.open_hypervisor",
        lambda uri: FakeHypervisor(uri, host={**lab.hosts, **lab.spare}[urlsplit(uri).hostname]),
    )
    monkeypatch.setattr(Check, "host_specs", lambda _self: lab.specs())
    monkeypatch.setattr(Check, "defaults", lambda _self: lab.defaults())
    return make


async def code(command):
    try:
        await command.run()
    except SystemExit as ended:
        return ended.code
    return 0


async def test_nothing_is_found_where_all_is_well_and_a_controller_runs(lab, program, capsys):
    assert await code(program()) == 0
    assert capsys.readouterr().out == "The database and the hosts agree.\n"


async def test_hosts_that_were_attached_are_looked_at_too(lab, program, capsys):
    lab.spare = {"far": FakeHost()}
    request = HostAttach(name="far", uris=["qemu+tls://far/system"])
    await lab.engine.hosts.attach(ALICE, request)
    machine = await lab.create(host="far", server_name="far", home=False)
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await lab.engine.operations.wait(operation.id, 10)
    capsys.readouterr()
    assert await code(program()) == 0
    assert capsys.readouterr().out == "The database and the hosts agree.\n"
    lab.hypervisors["far"]._subscribers.clear()
    lab.spare["far"].domains.clear()
    lab.disagrees = "its domain was removed behind the controller's back"
    assert await code(program()) == 1
    assert machine.id in capsys.readouterr().out


@pytest.mark.parametrize("damage", MENDED, ids=[damage.__name__ for damage in MENDED])
async def test_what_does_not_agree_is_said_and_mended(lab, program, capsys, damage):
    lab.hypervisor._subscribers.clear()
    await lab.engine.reconciler.quiet()  # else it may mend what is damaged now
    await damage(lab.broken)
    await lab.end()
    assert await code(program(json=True)) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert MENDED[damage] in {each["kind"] for each in found}
    assert all(each["sentence"] and each["repair"] and not each["repaired"] for each in found)
    await code(program(repair=True))
    assert "Done: " in capsys.readouterr().out
    await code(program(repair=True))  # what one repair uncovers, the next mends
    capsys.readouterr()
    assert await code(program()) == 0, capsys.readouterr().out


@pytest.mark.parametrize("damage", LEFT, ids=[damage.__name__ for damage in LEFT])
async def test_what_a_person_has_to_decide_is_left_and_homes_are_never_removed(lab, program, capsys, damage):
    lab.disagrees = damage.__name__
    lab.hypervisor._subscribers.clear()
    await damage(lab.broken)
    await lab.end()
    assert await code(program(json=True)) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    left, *_ = [each for each in found if each["kind"] == LEFT[damage] and not each["repair"]]
    before = {name for name in lab.volumes() if name.startswith("home-")}
    assert await code(program(repair=True)) == 1
    out = capsys.readouterr().out
    assert f"{left['kind']}  {left['object']}" in out
    assert "A person has to decide." in out
    assert {name for name in lab.volumes() if name.startswith("home-")} == before


def test_every_kind_of_finding_has_its_damage():
    assert set(MENDED.values()) | set(LEFT.values()) == set(Kind)


async def test_a_repair_is_refused_while_a_controller_runs(lab, program):
    with take_lock(lab.folder / "controller.lock"), pytest.raises(StateError, match="end that one first"):
        await program(repair=True).run()


async def test_a_host_that_does_not_answer_is_said_and_is_no_finding(lab, program, capsys, monkeypatch):
    def silent(uri):
        hypervisor = FakeHypervisor(uri)
        hypervisor.reachable = False
        return hypervisor

    monkeypatch.setattr("cernvmcontroller.commands.check.open_hypervisor", silent)
    assert await code(program()) == 2
    assert "The host host1 does not answer" in capsys.readouterr().out


async def test_a_machine_under_way_is_named_and_left_out(lab, program, capsys):
    machine = lab.broken.off.id
    await lab.end()
    await lab.begin()
    await lab.broken.row(MachineRow, machine, status=Status.STOPPING, target=Target.STOPPED)
    assert await code(program()) == 0
    assert machine in capsys.readouterr().out
    lab.engine.reconciler.poke(machine)


async def test_a_hub_that_never_ran_is_said(tmp_path):
    with pytest.raises(StateError, match="never ran"):
        await Check(state_dir=str(tmp_path)).run()
