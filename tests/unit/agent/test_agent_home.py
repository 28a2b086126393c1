"""The home's disk, on files in its place: what can be done without rights."""

from __future__ import annotations

import os
import subprocess

import pytest

from cernvmagent import home

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(32 * MIB)
    return path


def mkfs(disk, *options):
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", *options, disk], check=True)


def test_an_empty_disk_gets_a_file_system(disk):
    assert home.prepare(str(disk)) is True
    home.finish(str(disk))
    assert home.prepare(str(disk)) is False, "the second time it is there"


def test_what_is_on_a_home_stays(disk, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "thesis.tex").write_text("all of it")
    mkfs(disk, "-d", tree)
    home.prepare(str(disk))
    shown = subprocess.run(
        ["/usr/sbin/debugfs", "-R", "cat /thesis.tex", disk], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "all of it"


@pytest.mark.parametrize(
    ("offset", "signature"),
    [(0, b"XFSB\0\0\x10\0"), (4086, b"SWAPSPACE2"), (0, b"LUKS\xba\xbe\x00\x01"), (70_000, b"unknown")],
    ids=["xfs", "swap", "luks", "unknown"],
)
def test_a_disk_with_something_else_on_it_is_left_alone(disk, offset, signature):
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(signature)
    before = disk.read_bytes()
    with pytest.raises(home.HomeFailed) as failed:
        home.prepare(str(disk))
    assert "left as it is" in str(failed.value)
    assert disk.read_bytes() == before


def test_a_partitioned_disk_is_left_alone(disk):
    subprocess.run(
        ["/usr/sbin/sfdisk", "-q", disk],
        input="label: dos\n,,83\n",
        text=True,
        check=True,
        capture_output=True,
    )
    before = disk.read_bytes()
    with pytest.raises(home.HomeFailed, match="dos"):
        home.prepare(str(disk))
    assert disk.read_bytes() == before


def test_a_home_whose_superblock_is_lost_is_not_made_anew(disk):
    mkfs(disk)
    with disk.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))
    before = disk.read_bytes()
    with pytest.raises(home.HomeFailed, match="left as it is"):
        home.prepare(str(disk))
    assert disk.read_bytes() == before


def test_the_size_of_a_file_system_is_read_from_it(disk):
    mkfs(disk, "-b", "1024")
    assert home.file_system_size(disk.read_bytes()[1024:2048]) == 32 * MIB


def test_a_disk_that_grew_is_noticed(disk):
    mkfs(disk)
    assert not home.is_larger(str(disk))
    os.truncate(disk, 1024 * MIB)
    assert home.is_larger(str(disk))


def test_a_disk_is_found_by_its_serial(tmp_path):
    for name, serial in [("vda", ""), ("vdb", "layer\n"), ("vdc", "home\n")]:
        (tmp_path / "block" / name).mkdir(parents=True)
        (tmp_path / "block" / name / "serial").write_text(serial)
    (tmp_path / "block" / "sr0").mkdir()
    assert home.find("home", cancelled=lambda _: False, blocks=str(tmp_path / "block")) == "/dev/vdc"


def test_a_disk_that_does_not_come_is_a_failure(tmp_path):
    with pytest.raises(home.HomeFailed, match='serial "home"'):
        home.find("home", cancelled=lambda _: False, blocks=str(tmp_path), by_id=str(tmp_path), longest=0)


def test_a_new_home_is_furnished(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "UID", os.getuid())
    monkeypatch.setattr(home, "GID", os.getgid())
    (tmp_path / "skel/.config/deep").mkdir(parents=True)
    (tmp_path / "skel/.bashrc").write_text("PS1=$")
    (tmp_path / "skel/.config/deep/rc").write_text("x")
    place = tmp_path / "home"
    place.mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/first.ipynb").write_text("{}")
    (tmp_path / "notebooks/first.ipynb").chmod(0o444)
    home.furnish(str(place), tuple(str(tmp_path / name) for name in ("skel", "notebooks", "not-there")))
    assert (place / ".bashrc").read_text() == "PS1=$"
    assert (place / ".config/deep/rc").read_text() == "x"
    assert (place / "first.ipynb").stat().st_mode & 0o200, "what was read-only in the layer is the user's own"
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_new_home_is_on_the_disk_before_its_stamp_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "UID", os.getuid())
    monkeypatch.setattr(home, "GID", os.getgid())
    (tmp_path / "skel").mkdir()
    (tmp_path / "skel/first.ipynb").write_text("{}")
    place = tmp_path / "home"
    place.mkdir()
    there = []
    monkeypatch.setattr(os, "sync", lambda: there.extend(path.name for path in place.iterdir()))
    home.furnish(str(place), (str(tmp_path / "skel"),))
    assert there == ["first.ipynb"], "a machine that is switched off now does not lose it"


def test_what_is_mounted_is_known(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda2 / ext4 rw 0 0\n/dev/vdc /home/cernvm ext4 rw 0 0\n")
    assert home.source_of("/home/cernvm", str(mounts)) == "/dev/vdc"
    assert home.source_of("/home", str(mounts)) is None


# --- a home whose making was broken off ---


def stamped(disk):
    return b"this home is being made" in disk.read_bytes()[-MIB:]


@pytest.mark.parametrize("broken", ["before", "within", "after"])
def test_a_home_whose_making_was_broken_off_is_made_anew(disk, monkeypatch, broken):
    real = home._run

    def killed(*command):
        if command[0] == "mkfs.ext4":
            if broken == "after":
                real(*command)
            if broken == "within":
                with disk.open("r+b") as file:
                    file.seek(4096)
                    file.write(b"half a file system")
            raise KeyboardInterrupt
        return real(*command)

    monkeypatch.setattr(home, "_run", killed)
    with pytest.raises(KeyboardInterrupt):
        home.prepare(str(disk))
    assert stamped(disk)
    monkeypatch.setattr(home, "_run", real)
    assert home.prepare(str(disk)) is True
    assert home.is_unfinished(str(disk)), "it is not furnished yet"
    home.finish(str(disk))
    assert not stamped(disk)
    before = disk.read_bytes()
    assert home.prepare(str(disk)) is False
    assert home.file_system_size(before[1024:2048]) == 31 * MIB


def test_a_stamp_within_a_file_of_a_home_is_no_stamp(disk):
    mkfs(disk)
    place, stamp = home._stamp(32 * MIB)
    with disk.open("r+b") as file:
        file.seek(place)
        file.write(stamp)
    before = disk.read_bytes()
    assert not home.is_unfinished(str(disk))
    assert home.prepare(str(disk)) is False
    assert disk.read_bytes()[place:] == before[place:]


def test_a_stamp_of_a_disk_of_another_size_is_no_stamp(disk):
    place, _ = home._stamp(32 * MIB)
    with disk.open("r+b") as file:
        file.write(b"something")
        file.seek(place)
        file.write(home._stamp(64 * MIB)[1])
    with pytest.raises(home.HomeFailed, match="left as it is"):
        home.prepare(str(disk))
