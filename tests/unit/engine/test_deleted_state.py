"""A state folder that was deleted while machines ran: the next one has their names and another hub id."""

from __future__ import annotations

from uuid import uuid4

import scripted
from scripted import eventually

from cernvmcontroller.upkeep.cleaning import clean_host


async def forgotten(lab, monkeypatch):
    """Delete the state under a running machine and begin anew; return the machine."""
    lab.disagrees = "what an earlier installation left is not in the database"
    machine = await lab.started()
    await lab.end()
    lab.lose_database()
    monkeypatch.setattr(scripted, "HUB", str(uuid4()))
    await lab.begin()
    return machine


async def test_machines_of_a_deleted_state_are_said_and_keep_their_addresses(lab, monkeypatch):
    lost = await forgotten(lab, monkeypatch)
    (said,) = [one for one in (await lab.engine.health()).components if one.name.startswith("strangers/")]
    assert said.status == "degraded"
    assert lab.host.domains[lost.uuid].name in said.detail
    assert "make clean" in said.detail
    assert "hub_id" in said.detail
    new = await lab.started(home=False)
    assert new.address != lost.address
    assert lab.host.domains[lost.uuid].power == "on"


async def test_their_addresses_are_free_when_they_are_gone(lab, monkeypatch):
    lost = await forgotten(lab, monkeypatch)
    del lab.host.domains[lost.uuid]
    lab.hypervisor.disconnect()
    lab.hypervisor.reconnect()

    async def nothing_said():
        parts = (await lab.engine.health()).components
        return not [one for one in parts if one.name.startswith("strangers/")]

    await eventually(nothing_said)
    assert (await lab.create(home=False)).address == lost.address


async def test_make_clean_removes_them_with_the_volumes_they_stand_on(lab, monkeypatch):
    lost = await forgotten(lab, monkeypatch)
    new = await lab.started(home=False)
    await lab.end()
    await lab.hypervisor.open()
    await clean_host(lab.hypervisor, lab.specs()[0], "labhub", scripted.HUB)
    assert not {lost.uuid, new.uuid} & set(lab.host.domains)
