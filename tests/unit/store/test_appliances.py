"""Appliances of the repository."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.store.samples import ALICE, NOW, appliance

from cernvmapi.errors import NotFound
from cernvmapi.models import Hardware
from cernvmcontroller.store import Store, appliances


async def test_an_appliance_comes_back_as_it_was_put(store: Store) -> None:
    given = appliance(
        hardware=Hardware(firmware="uefi"),
        context=["nocloud", "configdrive"],
        logo="data:,",
        agent_protocol=1,
    )
    async with store.write(ALICE, "appliance.add", "appliance/default") as tx:
        await appliances.put(tx, given, "/images/default.qcow2")
    async with store.read() as session:
        row = await appliances.get(session, "default")
        assert appliances.to_model(row) == given
        assert row.path == "/images/default.qcow2"
        with pytest.raises(NotFound, match="no appliance 'other'"):
            await appliances.get(session, "other")


async def test_putting_it_again_tells_only_changes(store: Store) -> None:
    events, before = store.events.subscribe(owner="bob"), store.events.last_id()
    for version in ("1", "1", "2", "2"):
        async with store.write(ALICE, "appliance.add", "appliance/default", audit=False) as tx:
            await appliances.put(tx, appliance(version=version), "/images/default.qcow2")
    assert [(await anext(events)).data["version"] for _ in range(2)] == ["1", "2"]
    assert store.events.last_id() == before + 2


async def test_who_did_not_choose_gets_the_marked_one_else_the_newest(store: Store) -> None:
    async def default() -> str | None:
        async with store.read() as session:
            row = await appliances.default(session)
            return row.id if row else None

    assert await default() is None
    async with store.write(ALICE, "appliance.add", "appliances") as tx:
        await appliances.put(tx, appliance("old"), "")
        await appliances.put(tx, appliance("new", title="A", updated=NOW + timedelta(days=1)), "")
        await appliances.put(tx, appliance("secret", hidden=True, default=True), "")
    assert await default() == "new"
    async with store.write(ALICE, "appliance.mark", "appliance/old") as tx:
        await appliances.put(tx, appliance("old", default=True), "")
    assert await default() == "old"
    async with store.read() as session:
        assert [row.id for row in await appliances.listed(session)] == ["new", "old"]
        assert len(await appliances.listed(session, hidden=True)) == 3


async def test_a_removed_appliance_is_gone_and_told(store: Store) -> None:
    async with store.write(ALICE, "appliance.add", "appliance/default") as tx:
        await appliances.put(tx, appliance(), "")
    for _ in range(2):
        async with store.write(ALICE, "appliance.remove", "appliance/default") as tx:
            await appliances.remove(tx, "default")
    event = await anext(store.events.subscribe(store.events.last_id() - 1))
    assert (event.type, event.subject) == ("appliance.deleted", "appliance/default")
    async with store.read() as session:
        assert await appliances.listed(session, hidden=True) == []
