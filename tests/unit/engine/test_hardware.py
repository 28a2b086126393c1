"""Hardware of machines on fake hosts."""

from __future__ import annotations

import pytest
from scripted import ALICE
from test_definitions import ROOT, restarted
from test_snapshots import PLAIN, running

from cernvmapi.errors import Conflict, HypervisorFailed, Invalid, NotFound
from cernvmapi.hardware import DiskChange, HardwareChange, InterfaceChange
from cernvmcontroller.hypervisor.offers import Offers


async def change(lab, machine, **wanted):
    return await lab.engine.fitting.change(ROOT, machine.id, HardwareChange(**wanted))


async def test_other_hardware_counts_from_the_next_start_on_and_is_pending_until_then(lab):
    machine = await running(lab)
    found = await lab.engine.fitting.get(machine.id)
    assert (found.watchdog, found.pending) == ("reset", [])
    root = next(each for each in found.disks if each.what == "root")
    found = await change(lab, machine, watchdog="pause", disks=[DiskChange(target=root.target, cache="none")])
    assert (found.watchdog, set(found.pending)) == ("pause", {"watchdog", f"disk {root.target}"})
    (record,) = await lab.engine.definitions.history(machine.id)
    assert (record.author, record.comment) == ("root", "hardware")
    await restarted(lab, machine)
    found = await lab.engine.fitting.get(machine.id)
    assert (found.watchdog, found.pending) == ("pause", [])


async def test_a_cable_is_pulled_at_once(lab):
    machine = await running(lab)
    (interface,) = (await lab.engine.fitting.get(machine.id)).interfaces
    found = await change(lab, machine, interfaces=[InterfaceChange(mac=interface.mac, link=False)])
    assert (found.interfaces[0].link, found.pending) == (False, [])
    assert '<link state="down"/>' in lab.host.domains[machine.uuid].runs
    again = await change(lab, machine, interfaces=[InterfaceChange(mac=interface.mac, link=False)])
    assert again == found
    assert len(await lab.engine.definitions.history(machine.id)) == 1, "nothing was different"


async def test_what_runs_and_cannot_be_changed_is_said_and_the_rest_is_kept(lab):
    machine = await running(lab)
    (interface,) = (await lab.engine.fitting.get(machine.id)).interfaces
    lab.hypervisor.fail_next("update_device", HypervisorFailed("no such netdev"))
    with pytest.raises(Conflict, match=r"from the machine's next start on.*no such netdev"):
        await change(lab, machine, interfaces=[InterfaceChange(mac=interface.mac, link=False)])
    found = await lab.engine.fitting.get(machine.id)
    assert found.pending == [f"interface {interface.mac}"]


async def test_what_libvirt_does_not_accept_changes_nothing(lab):
    machine = await running(lab)
    with pytest.raises(Conflict, match="no emulator of a TPM"):
        await change(lab, machine, tpm=True)
    lab.host.offers = Offers(tpm=True)
    before = await lab.engine.fitting.get(machine.id)
    assert before.offered == ["tpm"]
    lab.hypervisor.fail_next("define", HypervisorFailed("TPM version '2.0' is not supported"))
    with pytest.raises(Invalid, match="is not supported"):
        await change(lab, machine, tpm=True)
    assert await lab.engine.fitting.get(machine.id) == before


async def test_a_machine_that_never_ran_has_no_hardware_yet(lab):
    machine = await lab.create(**PLAIN)
    with pytest.raises(NotFound, match="has not been started yet"):
        await lab.engine.fitting.get(machine.id)
    await lab.engine.machines.start(ALICE, machine.id, None)
