"""A home goes with the account, not with its name; names in any script end in no name of ours."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from scripted import ALICE, SESSION, eventually

from cernvmapi.errors import Conflict, ForeignHome
from cernvmapi.models import MachineCreate, VolumeChange
from cernvmcontroller import naming
from cernvmcontroller.hypervisor import metadata
from cernvmcontroller.store import Actor

ADMIN = Actor("admin")
FIRST, SECOND = "7@2026-01-01T00:00:00", "7@2026-06-01T00:00:00"

NAMES = [
    "alice",
    "Alice",
    "al-ice",
    "al.ice",
    "al ice",
    unicodedata.normalize("NFC", "ursulä"),
    unicodedata.normalize("NFD", "ursulä"),
    "陳大文",
    "محمد",
    "👩‍🔬",
    "x" * 200,
    "ж" * 200,
    "a'; DROP TABLE machines; --",
    '<owner>&amp;"quoted"',
    "../../etc/passwd",
    "$(reboot)`id`%n%s",
    "line\nbreak\ttab",
]


async def gone(lab, machine):
    operation = await lab.engine.machines.delete(ALICE, machine.id)
    assert (await lab.engine.operations.wait(operation.id, 10)).status == "succeeded"


async def left_home(lab, **fields):
    """Return the id of the home that a server left."""
    machine = await lab.started(**fields)
    await gone(lab, machine)
    return machine.home


async def test_a_user_who_was_created_again_does_not_get_the_old_home(lab):
    home = await left_home(lab, owner_id=FIRST)
    with pytest.raises(ForeignHome, match=f"home {home} of another account with the name alice"):
        await lab.create(owner_id=SECOND)
    with pytest.raises(ForeignHome):
        await lab.create()
    assert (await lab.create(owner_id=FIRST)).home == home


async def test_an_administrator_hands_the_old_home_over(lab):
    home = await left_home(lab, owner_id=FIRST)
    changed = await lab.engine.volumes.change(ADMIN, home, VolumeChange(owner="alice", owner_id=SECOND))
    assert changed.owner_id == SECOND
    assert (await lab.create(owner_id=SECOND)).home == home
    with pytest.raises(ForeignHome):
        await lab.create(owner_id=FIRST)


async def test_a_home_may_be_handed_to_whoever_has_the_name(lab):
    home = await left_home(lab, owner_id=FIRST)
    await lab.engine.volumes.change(ADMIN, home, VolumeChange(owner="alice"))
    assert (await lab.create(owner_id=SECOND)).home == home


async def test_a_site_may_give_homes_by_name(lab):
    home = await left_home(lab, owner_id=FIRST)
    assert (await lab.create(owner_id=SECOND, adopt_home=True)).home == home
    assert (await lab.engine.volumes.get(home)).owner_id == SECOND


async def test_a_home_from_before_accounts_were_known_goes_to_the_first_of_its_name(lab):
    home = await left_home(lab)
    assert (await lab.create(owner_id=FIRST)).home == home
    with pytest.raises(ForeignHome):
        await lab.create(owner_id=SECOND)


async def test_the_home_follows_a_user_who_was_renamed(lab):
    home = await left_home(lab, owner_id=FIRST)
    asked = MachineCreate(server_name="", notebook=True, home=True, owner_id=FIRST)
    machine, _ = await lab.engine.machines.create(ADMIN, asked, "alicia")
    assert machine.home == home
    assert (await lab.engine.volumes.get(home)).owner == "alicia"
    # Whoever is called alice from now on begins with an empty one.
    assert (await lab.create(owner_id=SECOND)).home != home


async def test_a_kept_machine_is_not_handed_to_the_next_user_of_the_name(lab):
    await lab.create(owner_id=FIRST)
    with pytest.raises(ForeignHome):
        await lab.create(owner_id=SECOND)


async def test_a_home_in_use_is_not_changed_and_no_server_gets_two(lab):
    first = await lab.started(owner_id=FIRST)
    with pytest.raises(Conflict, match="belongs to the machine"):
        await lab.engine.volumes.change(ADMIN, first.home, VolumeChange(owner="bob"))
    await gone(lab, first)
    other = await left_home(lab, server_name="second", owner_id=FIRST)
    with pytest.raises(Conflict, match=f"has the home {first.home} already"):
        await lab.engine.volumes.change(ADMIN, other, VolumeChange(server_name=""))


async def test_a_lost_database_does_not_forget_whose_homes_they_are(lab):
    home = await left_home(lab, owner_id=FIRST)
    await lab.engine.volumes.change(ADMIN, home, VolumeChange(server_name="renamed"))
    await lab.end()
    lab.lose_database()
    engine = await lab.begin()
    await eventually(lambda: not engine.census.missing)
    found = await engine.volumes.get(home)
    assert (found.owner, found.server_name, found.owner_id) == ("alice", "renamed", FIRST)


async def test_a_sidecar_of_the_first_version_is_read(lab):
    home = await left_home(lab, owner_id=FIRST)
    pool = lab.host.pools["labhub-host1"]
    name = naming.sidecar_volume(home)
    old = json.loads((await lab.hypervisor.read_volume("labhub-host1", name, 65536)).rstrip(b"\0"))
    del old["owner_id"]
    assert old["version"] == 2
    await lab.hypervisor.delete_volume("labhub-host1", name)
    content = json.dumps(old | {"version": 1}).encode()
    await lab.hypervisor.upload_volume("labhub-host1", name, content, format="raw")
    assert name in pool.volumes
    await lab.end()
    lab.lose_database()
    engine = await lab.begin()
    await eventually(lambda: not engine.census.missing)
    assert (await engine.volumes.get(home)).owner_id is None


async def test_names_of_any_kind_are_told_apart_found_again_and_never_used_as_ours(lab):
    ids = {}
    for number, name in enumerate(NAMES):
        asked = MachineCreate(
            name=name, server_name="", notebook=True, home=True, owner_id=f"{number}", vcpus=1, memory_mib=256
        )
        machine, _ = await lab.engine.machines.create(ADMIN, asked, name)
        operation = await lab.engine.machines.start(ADMIN, machine.id, SESSION)
        done = await lab.engine.operations.wait(operation.id, 10)
        assert done.status == "succeeded", (name, done)
        ids[name] = machine.id
    assert len(set(ids.values())) == len(NAMES)
    for name, id_ in ids.items():
        page = await lab.engine.machines.page(owner=name)
        assert [(one.id, one.owner) for one in page.items] == [(id_, name)]
        found = await lab.engine.machines.page(search=name)
        assert id_ in [one.id for one in found.items], name
    domains = list(lab.host.domains.values())
    assert {metadata.parse(domain.xml).owner for domain in domains} == set(NAMES)
    ours = re.compile(r"labhub-m-[a-z2-7]{12}")
    assert all(ours.fullmatch(domain.name) for domain in domains)
    assert all(naming.parse_volume(volume) for volume in lab.volumes())
    engine = await _without_database(lab)
    assert {one.owner for one in (await engine.machines.page(limit=100)).items} == set(NAMES)
    assert {one.owner for one in (await engine.volumes.page(kind="home")).items} == set(NAMES)


async def _without_database(lab):
    await lab.end()
    lab.lose_database()
    engine = await lab.begin()
    await eventually(lambda: not engine.census.missing)
    return engine
