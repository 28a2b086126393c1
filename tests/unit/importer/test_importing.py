"""Images of strangers become bases: of both formats, compressed or not; what must not does not."""

import asyncio
import contextlib
import gzip
import hashlib
import os
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.importer import images
from tests.unit.importer.images import MIB

from cernvmapi.errors import SourceFailed
from cernvmcontroller.importer import Importer, Limits, formats, importing, qcow2, rawdisk
from cernvmcontroller.importer.confinement import confined
from cernvmcontroller.importer.formats import DiskFormat


@pytest.fixture
def take(tmp_path):
    """Return a coroutine function that imports a file as the hub does."""

    async def take(path, said=None, importer=None):
        return await (importer or Importer())(path, tmp_path / "work", said)

    return take


def content(image, tmp_path):
    """Return what is on an image's disk."""
    images.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, tmp_path / "back.raw")
    return (tmp_path / "back.raw").read_bytes()


# --- what is taken ---


@pytest.mark.parametrize("program", [None, "gzip", "xz", "zstd", "bzip2"])
@pytest.mark.parametrize("make", [images.raw, images.qcow2], ids=["raw", "qcow2"])
async def test_an_image_becomes_a_base(tmp_path, take, make, program):
    path = make(tmp_path / "image")
    path = images.compressed(path, program) if program else path
    found = await take(path)
    assert content(found.path, tmp_path) == images.disk()
    assert found.virtual_size == 8 * MIB
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert found.size == found.path.stat().st_size
    assert "backing-filename" not in images.info(found.path)


async def test_a_base_is_ours_and_nobody_writes_it(tmp_path, take):
    status = (await take(images.qcow2(tmp_path / "image"))).path.stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_nlink) == (0o444, os.geteuid(), 1)


async def test_images_of_older_and_newer_qcow2_are_taken(tmp_path, take):
    options = ("-c", "-o", "compression_type=zstd,extended_l2=on")
    assert (await take(images.qcow2(tmp_path / "new", *options))).virtual_size == 8 * MIB
    importing.remove(tmp_path / "work")
    assert (await take(images.qcow2(tmp_path / "old", "-o", "compat=0.10"))).virtual_size == 8 * MIB


@pytest.mark.parametrize(
    ("url", "mime", "said"),
    [
        ("https://a.example/x.qcow2", "", DiskFormat.QCOW2),
        ("https://a.example/x.qcow2.xz?mirror=1.raw", "", DiskFormat.QCOW2),
        ("https://a.example/X.RAW.GZ", "", DiskFormat.RAW),
        ("https://a.example/cernvm4.hdd", "", DiskFormat.RAW),
        ("https://a.example/x.img", "", None),
        ("https://a.example/x.img", "application/x-qemu-disk; v=2", DiskFormat.QCOW2),
        ("https://a.example/", "application/octet-stream", None),
    ],
)
def test_an_image_says_what_it_is_by_its_name_or_its_type(url, mime, said):
    assert formats.declared(url, mime) is said


# --- what is refused ---


def test_a_name_and_a_type_that_differ_are_refused():
    with pytest.raises(SourceFailed, match="raw by its name and qcow2 by its type"):
        formats.declared("https://a.example/x.raw", "application/x-qemu-disk")


@pytest.mark.parametrize("said", list(DiskFormat))
async def test_an_image_that_is_not_what_it_was_said_to_be_is_refused(tmp_path, take, said):
    other = images.raw if said is DiskFormat.QCOW2 else images.qcow2
    with pytest.raises(SourceFailed, match=f"said to be {said}"):
        await take(other(tmp_path / "image"), said)


async def test_an_image_with_a_backing_file_is_refused(tmp_path, take):
    images.run(
        "qemu-img", "create", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", tmp_path / "i", "8M"
    )
    with pytest.raises(SourceFailed, match="backing file"):
        await take(tmp_path / "i")


async def test_an_image_with_an_external_data_file_is_refused(tmp_path, take):
    options = f"data_file={tmp_path}/secret,data_file_raw=on"
    images.run("qemu-img", "create", "-f", "qcow2", "-o", options, tmp_path / "i", "8M")
    with pytest.raises(SourceFailed, match="content in another file"):
        await take(tmp_path / "i")


async def test_a_data_file_named_without_the_feature_is_refused(tmp_path, take):
    path = images.qcow2(tmp_path / "image")
    name = b"json:{}"
    images.header(path, 104 + 8, struct.pack(">II8sQ", 0x44415441, len(name), name, 0))
    with pytest.raises(SourceFailed, match="names another file"):
        await take(path)


@pytest.mark.parametrize(
    ("offset", "written", "reason"),
    [
        (4, struct.pack(">I", 1), "version 2 or 3"),
        (8, struct.pack(">QI", 0x40, 4), "backing file"),
        (16, struct.pack(">I", 4), "backing file"),
        (20, struct.pack(">I", 63), "impossible size"),
        (24, struct.pack(">Q", 1 << 60), "do not cover"),
        (32, struct.pack(">I", 1), "encrypted"),
        (72, struct.pack(">Q", 1 << 0), "damaged"),
        (72, struct.pack(">Q", 1 << 1), "damaged"),
        (72, struct.pack(">Q", 1 << 40), "not known here"),
        (72, struct.pack(">QQQIIB", 1 << 3, 0, 0, 4, 112, 7), "nobody knows"),
        (100, struct.pack(">I", 1 << 30), "impossible length"),
    ],
)
async def test_a_header_that_is_forged_is_refused(tmp_path, take, offset, written, reason):
    with pytest.raises(SourceFailed, match=reason):
        await take(images.header(images.qcow2(tmp_path / "image"), offset, written))


@pytest.mark.parametrize(
    ("magic", "kind"),
    [
        (b"KDMV", "VMDK"),
        (b'# Disk DescriptorFile\nRW 1 FLAT "/etc/shadow" 0', "VMDK"),
        (b"QED\0", "QED"),
        (b"vhdxfile", "VHDX"),
        (b"LUKS\xba\xbe", "encrypted"),
        (b"PK\x03\x04", "zip"),
    ],
)
async def test_other_formats_are_refused_by_their_magic_whatever_they_are_called(tmp_path, take, magic, kind):
    with pytest.raises(SourceFailed, match=kind):
        await take(images.header(images.raw(tmp_path / "image.raw"), 0, magic), DiskFormat.RAW)


async def test_a_disc_that_boots_as_a_disk_too_is_refused(tmp_path, take):
    with pytest.raises(SourceFailed, match="ISO 9660"):
        await take(images.header(images.raw(tmp_path / "image.raw"), 0x8001, b"CD001"), DiskFormat.RAW)


@pytest.mark.parametrize("trap", ["pipe", "link"])
async def test_what_an_unpacker_leaves_is_looked_at_before_it_is_touched(tmp_path, take, monkeypatch, trap):
    """As if a flaw had made it somebody else's program, in its own folder."""
    precious = tmp_path / "precious"
    precious.touch(mode=0o600)

    async def taken_over(program, limits, *, folder, **_):
        left = folder / "unpacked"
        left.unlink()
        left.symlink_to(precious) if trap == "link" else os.mkfifo(left)

    monkeypatch.setattr("cernvmcontroller.importer.importing.confined", taken_over)
    (tmp_path / "i.gz").write_bytes(gzip.compress(b"x"))
    async with asyncio.timeout(10):
        with pytest.raises(SourceFailed, match="left"):
            await take(tmp_path / "i.gz")
    assert precious.stat().st_mode & 0o777 == 0o600


async def test_an_image_of_two_formats_is_refused(tmp_path, take):
    path = images.qcow2(tmp_path / "image")
    with path.open("ab") as file:
        file.write(b"conectix".ljust(512, b"\0"))
    with pytest.raises(SourceFailed, match="at the same time"):
        await take(path)


@pytest.mark.parametrize(
    "how", [{"count": 1 << 31}, {"active": 0x7F}, {"start": 1 << 30, "count": 1}], ids=str
)
async def test_a_raw_disk_with_partitions_that_cannot_be_is_refused(tmp_path, take, how):
    with pytest.raises(SourceFailed, match="cannot be"):
        await take(images.raw(tmp_path / "image", **how))


async def test_a_file_that_is_no_disk_is_refused(tmp_path, take):
    (tmp_path / "page").write_bytes(b"<html>Not found</html>" * 100)
    with pytest.raises(SourceFailed, match="no boot sector"):
        await take(tmp_path / "page")


async def test_a_decompression_bomb_ends_at_the_limit(tmp_path, take):
    bomb = tmp_path / "bomb.raw.gz"
    bomb.write_bytes(gzip.compress(bytes(64 * MIB)))
    assert bomb.stat().st_size < MIB
    with pytest.raises(SourceFailed, match="larger than 16 MiB"):
        await take(bomb, importer=Importer(largest=16 * MIB))
    assert (tmp_path / "work" / "unpacked").stat().st_size <= 16 * MIB


async def test_a_bomb_in_a_bomb_is_unpacked_once(tmp_path, take):
    inner = gzip.compress(images.disk())
    (tmp_path / "twice.gz").write_bytes(gzip.compress(inner))
    with pytest.raises(SourceFailed, match="a compressed file"):
        await take(tmp_path / "twice.gz")


async def test_a_disk_that_claims_to_be_too_large_is_refused(tmp_path, take):
    images.run("qemu-img", "create", "-f", "qcow2", tmp_path / "i", "1T")
    with pytest.raises(SourceFailed, match="has 1048576 MiB; at most 131072"):
        await take(tmp_path / "i")


async def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path, take):
    whole = gzip.compress(images.disk())
    (tmp_path / "i.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceFailed, match="gzip cannot read the image"):
        await take(tmp_path / "i.gz")


# --- under limits ---


async def seen(tmp_path, *program, limits=None):
    """Return what a confined program writes."""
    with (tmp_path / "said").open("wb") as result:
        await confined(program, limits or Limits(), folder=tmp_path, result=result)
    return (tmp_path / "said").read_text()


async def test_programs_run_as_nobody_without_privileges_and_without_our_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("CERNVM_SECRET", "hunter2")
    status = await seen(tmp_path, "cat", "/proc/self/status", "/proc/self/environ")
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert "hunter2" not in status
    if os.geteuid() == 0:
        assert fields["Uid"].split() == ["65534"] * 4
        assert (fields["Groups"].strip(), int(fields["CapEff"], 16), int(fields["CapBnd"], 16)) == ("", 0, 0)


def running(process):
    """Return whether a process runs; a zombie, of whoever inherited it, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_program_that_does_not_end_is_ended_with_all_that_it_began(tmp_path):
    script = "sleep 1000 & echo $!; exec sleep 1000"
    with pytest.raises(SourceFailed, match=r"more than 0.3 seconds"):
        await seen(tmp_path, "sh", "-c", script, limits=Limits(seconds=0.3))
    child = int((tmp_path / "said").read_text())
    async with asyncio.timeout(10):
        while running(child):  # noqa: ASYNC110 - nobody tells when a process that is not our child ends
            await asyncio.sleep(0.01)


async def test_a_program_does_not_outlive_a_controller_that_is_killed(tmp_path):
    script = (
        "import asyncio, sys, pathlib\n"
        "from cernvmcontroller.importer.confinement import Limits, confined\n"
        "with open(sys.argv[1], 'wb') as said:\n"
        "    program = ['sh', '-c', 'echo $$; exec sleep 1000']\n"
        "    asyncio.run(confined(program, Limits(), folder=pathlib.Path('/'), result=said))\n"
    )
    said = tmp_path / "said"
    controller = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(said))
    async with asyncio.timeout(30):
        while not (said.exists() and said.read_text().endswith("\n")):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    controller.kill()
    await controller.wait()
    async with asyncio.timeout(10):
        while running(int(said.read_text())):  # noqa: ASYNC110 - nobody tells when it ends
            await asyncio.sleep(0.01)


async def test_a_program_that_computes_for_ever_is_ended(tmp_path):
    with pytest.raises(SourceFailed, match="1 seconds of a processor's time"):
        await seen(tmp_path, "sh", "-c", "while :; do :; done", limits=Limits(processor=1))


async def test_a_program_that_wants_all_memory_does_not_get_it(tmp_path):
    greedy = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    with pytest.raises(SourceFailed, match="sh cannot read the image"):
        await seen(tmp_path, "sh", "-c", greedy, limits=Limits(memory=64 * MIB))


async def test_a_program_that_talks_without_end_is_not_remembered(tmp_path):
    with pytest.raises(SourceFailed) as failed:
        await seen(tmp_path, "sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' 'x' >&2; exit 3")
    assert len(failed.value.detail) < 300


# --- whatever it is ---


@given(st.binary(max_size=200), st.sampled_from([b"", b"QFI\xfb\0\0\0\x02", b"QFI\xfb\0\0\0\x03"]))
def test_no_header_leads_the_reader_astray(rest, begin):
    with contextlib.suppress(SourceFailed):
        assert qcow2.virtual_size(begin + rest) >= 0


@given(st.binary(min_size=512, max_size=512), st.integers(512, 1 << 40))
def test_no_boot_sector_leads_the_reader_astray(sector, size):
    with contextlib.suppress(SourceFailed):
        assert rawdisk.virtual_size(sector, size) >= size
