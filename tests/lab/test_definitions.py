"""Definitions that an administrator writes, under real libvirt and QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.lab.site import ALICE, Site, agrees, open_site

from cernvmapi.definitions import XmlChange
from cernvmapi.errors import Conflict, Invalid
from cernvmapi.hardware import DiskChange, HardwareChange, InterfaceChange
from cernvmapi.lifecycle import MoveRequest
from cernvmapi.models import MachineChange, Power, Status

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.definitions import XmlChanged

pytestmark = pytest.mark.machines

MINE = "<watchdog model='i6300esb' action='poweroff'"


async def write(site: Site, machine_id: str, xml: str, *, preview: bool = False) -> XmlChanged:
    change = XmlChange(xml=xml, comment="ticket 1", preview=preview)
    return await site.engine.definitions.write(ALICE, machine_id, change)


async def test_what_is_written_counts_at_the_next_start_on_whatever_host(tmp_path: Path) -> None:
    async with open_site(2, tmp_path / "state") as site:
        machine = await site.running("alpha", home=True)
        get = site.engine.definitions.get
        before = await get(machine.id)
        assert before.running is not None
        assert "<alias" in before.running
        assert "<alias" not in before.xml

        wanted = before.xml.replace('action="reset"', 'action="poweroff"')
        wanted = wanted.replace("<os>", "<cputune><shares>512</shares></cputune><os>")
        assert (await write(site, machine.id, wanted, preview=True)).diff
        changed = await write(site, machine.id, wanted)
        assert (changed.kept, changed.pending, changed.broken) == (True, True, [])
        now = await get(machine.id)
        assert (now.own, now.pending, now.digest) == (True, True, changed.digest)
        assert "poweroff" not in now.running.split("<watchdog")[1].split(">")[0]

        await site.engine.machines.change(ALICE, machine.id, MachineChange(vcpus=2))
        await site.done(await site.engine.machines.poweroff(ALICE, machine.id))
        move = await site.engine.moves.move(ALICE, machine.id, MoveRequest(host="beta"))
        await site.done(move)
        await site.done(await site.engine.machines.start(ALICE, machine.id, None))
        await site.becomes(machine.id, Status.RUNNING, Power.ON)
        await site.answers(machine, "with my own XML")
        running = (await get(machine.id)).running
        assert MINE in running
        assert "<shares>512</shares>" in running
        assert ">2</vcpu>" in running

        await site.engine.definitions.reset(ALICE, machine.id)
        await site.done(await site.engine.machines.reboot(ALICE, machine.id))
        await site.becomes(machine.id, Status.RUNNING, Power.ON)
        assert MINE not in (await get(machine.id)).running
        await agrees(site.options)


REFUSED = {
    "an element that libvirt does not know": ("</domain>", "<novelty/></domain>"),
    "a value that it does not know": ('action="reset"', 'action="explode"'),
    "a device twice": ("</devices>", "<watchdog model='i6300esb'/></devices>"),
    "a device of no kind": ("</devices>", "<sound model='trumpet'/></devices>"),
}


async def test_what_libvirt_refuses_is_told_in_its_words_and_nothing_changes(tmp_path: Path) -> None:
    async with open_site(1, tmp_path / "state") as site:
        machine = await site.running("alpha")
        before = await site.engine.definitions.get(machine.id)
        for old, new in REFUSED.values():
            assert old in before.xml
            with pytest.raises(Invalid, match="Libvirt does not accept"):
                await write(site, machine.id, before.xml.replace(old, new, 1))
            assert await site.engine.definitions.get(machine.id) == before
        with pytest.raises(Invalid, match=r"\(paths\): /etc/shadow is not one of"):
            await write(
                site,
                machine.id,
                before.xml.replace(
                    "</devices>",
                    "<disk type='file' device='disk'><source file='/etc/shadow'/>"
                    "<target dev='vdz' bus='virtio'/></disk></devices>",
                ),
            )
        assert await site.engine.definitions.history(machine.id) == []


async def test_hardware_is_changed_and_a_cable_pulled_while_it_runs(tmp_path: Path) -> None:
    async with open_site(1, tmp_path / "state") as site:
        machine = await site.running("alpha", home=True)
        fitting = site.engine.fitting
        (interface,) = (await fitting.get(machine.id)).interfaces

        pulled = HardwareChange(interfaces=[InterfaceChange(mac=interface.mac, link=False)])
        found = await fitting.change(ALICE, machine.id, pulled)
        assert (found.interfaces[0].link, found.pending) == (False, [])
        assert "<link state='down'/>" in (await site.engine.definitions.get(machine.id)).running
        plugged = HardwareChange(interfaces=[InterfaceChange(mac=interface.mac, link=True)])
        assert (await fitting.change(ALICE, machine.id, plugged)).interfaces[0].link

        for name, more in (("uefi", {"firmware": "uefi"}), ("tpm", {"tpm": True})):
            if name in found.offered:
                assert set((await fitting.change(ALICE, machine.id, HardwareChange(**more))).pending)
            else:
                with pytest.raises(Conflict, match="install it there"):
                    await fitting.change(ALICE, machine.id, HardwareChange(**more))
        back = HardwareChange(firmware="bios", tpm=False)
        assert (await fitting.change(ALICE, machine.id, back)).pending == []

        root = next(each for each in found.disks if each.what == "root")
        disks = [DiskChange(target=root.target, cache="none")]
        wanted = HardwareChange(disks=disks, watchdog="pause", boot=[root.target, interface.mac])
        found = await fitting.change(ALICE, machine.id, wanted)
        assert {"watchdog", f"disk {root.target}", f"interface {interface.mac}"} == set(found.pending)
        await site.done(await site.engine.machines.reboot(ALICE, machine.id))
        await site.becomes(machine.id, Status.RUNNING, Power.ON)
        await site.answers(machine, "with other hardware")
        found = await fitting.get(machine.id)
        assert (found.watchdog, found.pending, found.interfaces[0].boot) == ("pause", [], 2)
        await agrees(site.options)
