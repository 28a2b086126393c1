"""Addresses: each once, and as late as possible again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError
from tests.unit.store.samples import ALICE, HUB, machine, site

from cernvmapi.errors import Conflict, NoRoom, NotFound
from cernvmcontroller.store import Store, addresses, inventory, machines
from cernvmcontroller.store.tables import AddressRow, NetworkRow

if TYPE_CHECKING:
    from collections.abc import Iterable


async def put(store: Store, ids: Iterable[str]) -> None:
    async with store.write(ALICE, "machine.create", "machines", audit=False) as tx:
        tx.session.add_all(machine(id_) for id_ in ids)


async def claim(store: Store, id_: str) -> int:
    async with store.write(ALICE, "machine.place", f"machine/{id_}") as tx:
        return await addresses.claim(tx, "lan", id_)


async def test_fifty_claims_at_once_get_fifty_addresses(store: Store) -> None:
    await site(store)
    await put(store, [f"m-{n}" for n in range(50)])
    claimed = await asyncio.gather(*(claim(store, f"m-{n}") for n in range(50)))
    assert sorted(claimed) == list(range(50))


async def test_two_programs_that_claim_at_once_never_get_the_same(store: Store, database_url: str) -> None:
    await site(store)
    await put(store, [f"m-{n}" for n in range(50)])
    other = await Store.open(database_url, HUB)
    claimed = await asyncio.gather(*(claim((store, other)[n % 2], f"m-{n}") for n in range(50)))
    await other.close()
    assert sorted(claimed) == list(range(50))


async def give_back(store: Store, id_: str) -> None:
    async with store.write(ALICE, "machine.release", f"machine/{id_}") as tx:
        await addresses.release(tx, id_)
        await addresses.release(tx, id_)


async def test_an_address_that_nobody_had_comes_first(store: Store) -> None:
    await site(store, addresses=4)
    await put(store, [f"m-{n}" for n in range(5)])
    assert [await claim(store, f"m-{n}") for n in (0, 1)] == [0, 1]
    await give_back(store, "m-0")
    assert [await claim(store, f"m-{n}") for n in (2, 3)] == [2, 3]
    assert await claim(store, "m-4") == 0


async def test_then_the_one_that_is_free_for_the_longest_time(store: Store) -> None:
    """Not the one that was given the longest time ago: its machine may have been there until a moment ago."""
    await site(store, addresses=30)
    ids = [f"m-{n}" for n in range(30)]
    await put(store, [*ids, *(f"m-new-{n}" for n in range(10))])
    for number, id_ in enumerate(ids):
        assert await claim(store, id_) == number
    order = random.Random(1).sample(range(30), 10)
    for number in order:
        await give_back(store, f"m-{number}")
    assert [await claim(store, f"m-new-{n}") for n in range(9)] == order[:9]
    await give_back(store, "m-new-0")
    assert await claim(store, "m-new-9") == order[9]
    await put(store, ["m-last"])
    assert await claim(store, "m-last") == order[0]


async def test_an_address_that_somebody_has_of_whom_the_database_does_not_know_is_left_out(
    store: Store,
) -> None:
    await site(store, addresses=4)
    await put(store, [f"m-{n}" for n in range(4)])

    async def claim_but(id_: str, avoid: set[int]) -> int:
        async with store.write(ALICE, "machine.place", f"machine/{id_}") as tx:
            return await addresses.claim(tx, "lan", id_, avoid=avoid)

    assert [await claim_but("m-0", {0}), await claim_but("m-1", {0, 2})] == [1, 3]
    await give_back(store, "m-0")
    await give_back(store, "m-1")
    assert await claim_but("m-2", {0, 1, 2}) == 3
    with pytest.raises(NoRoom):
        await claim_but("m-3", {0, 1, 2})


async def test_a_machine_keeps_its_address(store: Store) -> None:
    await site(store)
    await put(store, ["m-0", "m-1"])
    assert [await claim(store, id_) for id_ in ("m-0", "m-1", "m-1", "m-0")] == [0, 1, 1, 0]
    async with store.read() as session:
        assert await inventory.addresses_used(session) == {"lan": 2}
        assert await addresses.owner_of(session, "lan", 1) == "m-1"
        assert await addresses.owner_of(session, "lan", 2) is None


async def test_a_deleted_machine_gives_its_address_back(store: Store) -> None:
    await site(store, addresses=2)
    await put(store, ["m-0", "m-1", "m-2"])
    assert [await claim(store, id_) for id_ in ("m-0", "m-1")] == [0, 1]
    async with store.write(ALICE, "machine.delete", "machine/m-0") as tx:
        await machines.remove(tx, await machines.get(tx.session, "m-0"))
    assert await claim(store, "m-2") == 0


async def test_a_full_network_says_so_and_leaves_nothing(store: Store) -> None:
    await site(store, addresses=1)
    await put(store, ["m-0", "m-1"])
    await claim(store, "m-0")
    with pytest.raises(NoRoom, match="All 1 addresses of network hub-lan are taken"):
        await claim(store, "m-1")
    async with store.read() as session:
        assert await inventory.addresses_used(session) == {"lan": 1}


async def test_an_address_in_a_second_network_is_refused(store: Store) -> None:
    await site(store)
    await put(store, ["m-0"])
    await claim(store, "m-0")
    async with store.write(ALICE, "site", "site") as tx:
        wan = NetworkRow(id="wan", name="wan", cidr="10.1.0.0/24", gateway="10.1.0.1", addresses=9)
        await inventory.put_network(tx, wan, ["one"])
    with pytest.raises(Conflict, match="has an address in network lan already"):
        async with store.write(ALICE, "machine.place", "machine/m-0") as tx:
            await addresses.claim(tx, "wan", "m-0")
    with pytest.raises(NotFound, match="no network 'moon'"):
        async with store.write(ALICE, "machine.place", "machine/m-0") as tx:
            await addresses.claim(tx, "moon", "m-0")


async def test_the_database_itself_refuses_a_double_address(store: Store) -> None:
    await site(store)
    await put(store, ["m-0", "m-1"])
    await claim(store, "m-0")
    with pytest.raises(IntegrityError):
        async with store.write(ALICE, "wrong", "address") as tx:
            tx.session.add(AddressRow(network_id="lan", index=0, machine_id="m-1"))
