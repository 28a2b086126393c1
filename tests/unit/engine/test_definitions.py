"""Definitions that administrators write, on fake hosts."""

from __future__ import annotations

import pytest
from scripted import ALICE, eventually
from test_snapshots import PLAIN, ended, running

from cernvmapi.definitions import XmlChange
from cernvmapi.errors import Conflict, Forbidden, HypervisorFailed, Invalid, NotFound, StoreUnavailable
from cernvmapi.lifecycle import LockRequest
from cernvmapi.models import MachineChange, OperationStatus
from cernvmcontroller.store import Actor, definitions

ROOT = Actor("root")
EXPERT = Actor("expert")


async def xml_of(lab, machine):
    return await lab.engine.definitions.get(machine.id)


async def write(lab, machine, xml, actor=ROOT, **more):
    return await lab.engine.definitions.write(actor, machine.id, XmlChange(xml=xml, **more))


def other_watchdog(xml):
    assert 'action="reset"' in xml
    return xml.replace('action="reset"', 'action="poweroff"')


def with_pci(xml):
    return xml.replace("</devices>", '<hostdev mode="subsystem" type="pci"/></devices>')


async def restarted(lab, machine):
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))


async def test_what_an_administrator_writes_counts_from_the_next_start_on_and_stays(lab):
    machine = await running(lab)
    before = await xml_of(lab, machine)
    assert (before.own, before.pending) == (False, False)
    changed = await write(lab, machine, other_watchdog(before.xml), digest=before.digest, comment="ticket 1")
    assert (changed.kept, changed.pending, changed.broken) == (True, True, [])
    assert '-    <watchdog model="i6300esb" action="reset"/>' in changed.diff
    now = await xml_of(lab, machine)
    assert (now.own, now.pending, now.digest) == (True, True, changed.digest)
    assert 'action="poweroff"' in now.xml
    assert 'action="reset"' in now.running
    for _ in range(2):
        await restarted(lab, machine)
        now = await xml_of(lab, machine)
        assert (now.own, now.pending) == (True, False)
        assert 'action="poweroff"' in now.running


async def test_the_hub_still_says_what_is_its_own(lab):
    machine = await running(lab)
    await write(lab, machine, other_watchdog((await xml_of(lab, machine)).xml))
    await lab.engine.machines.change(ALICE, machine.id, MachineChange(name="renamed", vcpus=2))
    await restarted(lab, machine)
    now = (await xml_of(lab, machine)).xml
    assert "<title>renamed</title>" in now
    assert ">2</vcpu>" in now
    assert 'action="poweroff"' in now


async def test_a_preview_shows_the_difference_and_every_broken_rule_and_keeps_nothing(lab):
    machine = await running(lab)
    before = await xml_of(lab, machine)
    shown = await write(lab, machine, with_pci(other_watchdog(before.xml)), preview=True)
    assert (shown.kept, [each.rule for each in shown.broken]) == (False, ["host-devices"])
    assert "+    <hostdev" in shown.diff
    assert await xml_of(lab, machine) == before
    assert await lab.engine.definitions.history(machine.id) == []


async def test_a_rule_is_broken_only_by_an_expert_who_says_so(lab):
    machine = await running(lab)
    wanted = with_pci((await xml_of(lab, machine)).xml)
    with pytest.raises(Invalid, match=r"line \d+ \(host-devices\)"):
        await write(lab, machine, wanted)
    with pytest.raises(Invalid, match="host-devices"):
        await write(lab, machine, wanted, actor=EXPERT)
    with pytest.raises(Forbidden, match="xml_experts"):
        await write(lab, machine, wanted, override=True)
    lab.engine.definitions._experts = frozenset({"expert"})
    assert (await write(lab, machine, wanted, actor=EXPERT, override=True)).kept
    (record,) = await lab.engine.definitions.history(machine.id)
    assert (record.author, record.overrode) == ("expert", ["host-devices"])
    # What is there may stay, whoever goes on.
    assert (await write(lab, machine, other_watchdog((await xml_of(lab, machine)).xml))).broken == []


async def test_two_administrators_do_not_overwrite_each_other(lab):
    machine = await running(lab)
    seen = await xml_of(lab, machine)
    await write(lab, machine, other_watchdog(seen.xml), digest=seen.digest)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await write(lab, machine, seen.xml, digest=seen.digest)


async def test_what_libvirt_refuses_is_told_in_its_words_and_changes_nothing(lab):
    machine = await running(lab)
    before = await xml_of(lab, machine)
    lab.hypervisor.fail_next("define", HypervisorFailed("XML document failed to validate: Extra element"))
    with pytest.raises(Invalid, match="nothing was changed: XML document failed to validate"):
        await write(lab, machine, other_watchdog(before.xml))
    assert await xml_of(lab, machine) == before
    assert await lab.engine.definitions.history(machine.id) == []


async def test_the_hubs_own_definition_comes_back(lab):
    machine = await running(lab)
    with pytest.raises(Conflict, match="own definition already"):
        await lab.engine.definitions.reset(ROOT, machine.id)
    await write(lab, machine, other_watchdog((await xml_of(lab, machine)).xml))
    back = await lab.engine.definitions.reset(ROOT, machine.id)
    assert (back.kept, back.pending) == (True, True)
    assert '+    <watchdog model="i6300esb" action="reset"/>' in back.diff
    now = await xml_of(lab, machine)
    assert (now.own, now.pending, 'action="reset"' in now.xml) == (False, True, True)
    assert (back.digest, 'action="poweroff"' in now.running) == (now.digest, False)
    await restarted(lab, machine)
    now = await xml_of(lab, machine)
    assert (now.own, 'action="reset"' in now.xml) == (False, True)


async def test_one_can_look_back_at_every_change(lab, monkeypatch):
    monkeypatch.setattr("cernvmcontroller.definitions.definitions.MOST", 3)
    machine = await running(lab)
    for number in range(5):
        xml = (await xml_of(lab, machine)).xml
        notes = f"<n:x xmlns:n='urn:{number}'/></metadata>"
        await write(lab, machine, xml.replace("</metadata>", notes), comment=f"change {number}")
    found = await lab.engine.definitions.history(machine.id)
    assert [(each.number, each.author, each.comment) for each in found] == [
        (5, "root", "change 4"),
        (4, "root", "change 3"),
        (1, "root", "change 0"),
    ]
    assert "urn:4" in found[0].diff
    assert "urn:3" not in "".join(line for line in found[0].diff.splitlines() if line.startswith(("+", "-")))
    (record,) = (await lab.engine.audit.page(action="machine.xml", limit=1)).items
    assert record.details["own"] is True


async def test_a_machine_that_was_never_started_or_is_stored_or_locked_is_not_edited(lab):
    machine = await lab.create(**PLAIN)
    with pytest.raises(NotFound, match="has not been started yet"):
        await xml_of(lab, machine)
    with pytest.raises(Conflict, match="given another definition while it is pending"):
        await write(lab, machine, "<domain/>")
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    await lab.engine.lifecycle.lock(ALICE, machine.id, LockRequest(reason="do not touch"))
    with pytest.raises(Conflict, match="do not touch"):
        await write(lab, machine, (await xml_of(lab, machine)).xml)


async def test_a_machine_that_is_deleted_takes_its_history_along(lab):
    machine = await running(lab)
    await write(lab, machine, other_watchdog((await xml_of(lab, machine)).xml))
    await ended(lab, await lab.engine.machines.delete(ALICE, machine.id))
    await eventually(lambda: machine.uuid not in lab.host.domains)
    async with lab.engine.store.read() as session:
        assert await definitions.history(session, machine.id) == []


async def test_a_definition_that_a_host_does_not_accept_any_more_is_reset_all_the_same(lab):
    machine = await running(lab)
    await write(lab, machine, other_watchdog((await xml_of(lab, machine)).xml))
    await ended(lab, await lab.engine.machines.poweroff(ALICE, machine.id))
    del lab.host.domains[machine.uuid]  # as on another host, to which it was moved
    lab.hypervisor.fail_next("define", HypervisorFailed("TPM version '2.0' is not supported"))
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None), OperationStatus.FAILED)
    assert (await lab.engine.definitions.reset(ROOT, machine.id)).kept
    await ended(lab, await lab.engine.machines.start(ALICE, machine.id, None))
    assert 'action="reset"' in (await xml_of(lab, machine)).running


async def test_what_the_database_could_not_keep_is_not_left_on_the_host(lab, monkeypatch):
    machine = await running(lab)
    before = await xml_of(lab, machine)

    async def refuse(*_):
        raise StoreUnavailable("The database is locked.")

    monkeypatch.setattr(lab.engine.definitions, "_keep", refuse)
    with pytest.raises(StoreUnavailable):
        await write(lab, machine, other_watchdog(before.xml))
    assert await xml_of(lab, machine) == before
