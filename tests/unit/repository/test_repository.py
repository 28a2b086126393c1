"""The repository: manifests checked, images verified once, one default."""

from __future__ import annotations

import hashlib
import json

import pytest

from cernvmapi.errors import Invalid, NotFound
from cernvmcontroller.inventory import DEFAULT_FLAVORS, load_flavors
from cernvmcontroller.repository import Repository, load_manifest
from cernvmcontroller.store import Store

HUB = "0b5c9b3e-7f51-4f0e-9d29-6f3b1f0a7c11"


def manifest(folder, name="apple", **changes):
    folder = folder / name
    folder.mkdir(exist_ok=True)
    image = f"image of {name}".encode()
    (folder / "appliance.qcow2").write_bytes(image)
    record = {
        "id": name,
        "title": name.title(),
        "version": "1",
        "sha256": hashlib.sha256(image).hexdigest(),
        "size": len(image),
        "virtual_size_mib": 2048,
        "updated": "2026-01-01T00:00:00+00:00",
        "file": "appliance.qcow2",
        **changes,
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(record))
    return path


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite", HUB)
    yield store
    await store.close()


async def repository(store, tmp_path, *paths, default=None):
    made = Repository(store, paths, default, tmp_path / "state")
    await made.load()
    return made


async def test_the_first_visible_appliance_is_the_default(store, tmp_path):
    tiny = manifest(tmp_path, "tiny", hidden=True)
    made = await repository(store, tmp_path, tiny, manifest(tmp_path, "apple"), manifest(tmp_path, "pear"))
    assert made.choose(None).appliance.id == "apple"
    assert [appliance.id for appliance in await made.appliances() if appliance.default] == ["apple"]
    assert (await made.appliance("tiny")).hidden
    with pytest.raises(NotFound, match="there are apple, pear\\."):
        made.choose("plum")


async def test_the_default_stays_when_others_come_before_it(store, tmp_path):
    pear = manifest(tmp_path, "pear")
    await repository(store, tmp_path, pear)
    made = await repository(store, tmp_path, manifest(tmp_path, "apple"), pear)
    assert made.choose(None).appliance.id == "pear"
    made = await repository(store, tmp_path, manifest(tmp_path, "apple"), pear, default="apple")
    assert [appliance.id for appliance in await made.appliances() if appliance.default] == ["apple"]


async def test_an_appliance_that_is_configured_no_more_is_hidden(store, tmp_path):
    apple, pear = manifest(tmp_path, "apple"), manifest(tmp_path, "pear")
    await repository(store, tmp_path, apple, pear)
    made = await repository(store, tmp_path, pear)
    assert (await made.appliance("apple")).hidden
    assert not (await made.appliance("apple")).default
    with pytest.raises(NotFound):
        made.choose("apple")


async def test_nothing_is_told_when_nothing_changed(store, tmp_path):
    await repository(store, tmp_path, manifest(tmp_path))
    before = store.events.last_id()
    await repository(store, tmp_path, manifest(tmp_path))
    assert store.events.last_id() == before


async def test_an_image_is_verified_once(store, tmp_path):
    path = manifest(tmp_path)
    made = await repository(store, tmp_path, path)
    assert (await made.image("apple")).image == path.parent / "appliance.qcow2"
    assert [stamp.suffix for stamp in (tmp_path / "state" / "verified").iterdir()] == [".json"]
    await made.image("apple")


async def test_a_damaged_image_is_refused(store, tmp_path):
    path = manifest(tmp_path)
    made = await repository(store, tmp_path, path)
    (path.parent / "appliance.qcow2").write_bytes(b"x" * len("image of apple"))
    with pytest.raises(Invalid, match="damaged"):
        await made.image("apple")


async def test_two_appliances_need_two_ids(store, tmp_path):
    path = manifest(tmp_path)
    with pytest.raises(Invalid, match="Two appliances"):
        await repository(store, tmp_path, path, path)
    with pytest.raises(Invalid, match="default appliance plum"):
        await repository(store, tmp_path, path, default="plum")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 1}, "build it again"),
        ({"file": "../../etc/passwd"}, "outside of its folder"),
        ({"file": "none.qcow2"}, "missing"),
        ({"title": 7}, "not the manifest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, changes, words):
    with pytest.raises(Invalid, match=words):
        load_manifest(manifest(tmp_path, **changes))


def test_one_flavor_is_the_default():
    assert [flavor.id for flavor in load_flavors(DEFAULT_FLAVORS).values() if flavor.default] == ["medium"]
    assert load_flavors(DEFAULT_FLAVORS, "large")["large"].default
    for entries, default, words in (
        ([], None, "no flavor"),
        (DEFAULT_FLAVORS * 2, None, "two flavors"),
        (DEFAULT_FLAVORS, "huge", "does not exist"),
        ([{"id": "x"}], None, "not valid"),
    ):
        with pytest.raises(Invalid, match=words):
            load_flavors(entries, default)
