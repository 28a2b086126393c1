"""Suspended, stored and locked machines over HTTP: who may, and on whose."""

import pytest

from cernvmapi import AsyncClient
from cernvmapi.errors import Forbidden, NotFound
from cernvmapi.models import Status


async def test_a_user_acts_on_their_own_machine_and_on_no_other(served):
    async with AsyncClient(served.url, "alice-write") as client:
        for verb in ("suspend", "resume", "reset", "store"):
            operation = await getattr(client.machines, verb)("m-alice")
            assert (operation.action, operation.subject) == (f"machine.{verb}", "machine/m-alice")
            with pytest.raises(NotFound):
                await getattr(client.machines, verb)("m-bob")
    async with AsyncClient(served.url, "alice-read") as client:
        with pytest.raises(Forbidden):
            await client.machines.suspend("m-alice")


async def test_who_locked_a_machine_unlocks_it_or_an_administrator(served):
    async with (
        AsyncClient(served.url, "alice-write") as alice,
        AsyncClient(served.url, "carol-admin") as carol,
    ):
        locked = await carol.machines.lock("m-alice", "an incident")
        assert (locked.lock.author, locked.lock.reason) == ("carol", "an incident")
        with pytest.raises(Forbidden, match="carol locked"):
            await alice.machines.unlock("m-alice")
        assert (await carol.machines.unlock("m-alice")).lock is None
        await alice.machines.lock("m-alice")
        assert (await carol.machines.unlock("m-alice")).lock is None
    assert [row.action for row in served.engine.audit.rows] == ["machine.lock", "machine.unlock"] * 2


async def test_many_machines_at_once_are_ones_own_only(served):
    async with AsyncClient(served.url, "alice-write") as client:
        seen = await client.machines.act("reboot", ["m-alice", "m-bob", "m-none"], preview=True)
        assert [(each.id, each.possible, each.operation) for each in seen] == [
            ("m-alice", True, None), ("m-bob", False, None), ("m-none", False, None),
        ]  # fmt: skip
        assert seen[1].name is None, "as if it did not exist"
        assert served.engine.audit.rows == []
        done = await client.machines.act("reboot", ["m-alice", "m-bob"])
        assert [each.operation is not None for each in done] == [True, False]
    assert served.engine.machines.rows["m-bob"].status is Status.STOPPED
