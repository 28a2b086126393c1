"""Images are looked at before they become anybody's disk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from cernvmapi.errors import HypervisorFailed, Invalid
from cernvmcontroller.hypervisor.upload import Upload, qcow2_capacity

if TYPE_CHECKING:
    from pathlib import Path


def header(*, version: int = 3, backing: int = 0, size: int = 1 << 30, incompatible: int = 0) -> bytes:
    """Return a qcow2 header as QEMU's docs/interop/qcow2.txt describes it."""
    fields = b"QFI\xfb" + version.to_bytes(4) + backing.to_bytes(8) + bytes(8) + size.to_bytes(8)
    return fields.ljust(72, b"\0") + incompatible.to_bytes(8) + bytes(24)


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_tells_the_size(version: int) -> None:
    assert qcow2_capacity(header(version=version)) == 1 << 30


@pytest.mark.parametrize(
    "refused",
    [
        b"",
        b"QFI\xfb",
        b"\x7fELF".ljust(104, b"\0"),
        header(version=4),
        header(backing=104),
        header(incompatible=1 << 2),
    ],
    ids=["empty", "cut", "no image", "unknown version", "backing file", "external data file"],
)
def test_an_image_that_is_none_or_refers_to_other_files_is_refused(refused: bytes) -> None:
    with pytest.raises(Invalid):
        qcow2_capacity(refused)


def test_a_raw_image_is_as_large_as_its_file(tmp_path: Path) -> None:
    file = tmp_path / "seed.iso"
    file.write_bytes(bytes(12_345))
    assert Upload(file, "raw", lambda _: None, threading.Event()).capacity == 12_345


class Stream:
    """Takes bytes, a few at a time."""

    def __init__(self) -> None:
        self.taken = b""
        self.ended = ""

    def connect(self) -> Stream:
        return self

    def newStream(self) -> Stream:  # noqa: N802 - libvirt's name
        return self

    def upload(self, *_: object) -> None:
        return

    def send(self, data: bytes) -> int:
        self.taken += data[:1000]
        return len(data[:1000])

    def finish(self) -> None:
        self.ended = "finished"

    def abort(self) -> None:
        self.ended = "aborted"


def test_all_bytes_are_sent_though_the_stream_takes_few_at_a_time() -> None:
    data = bytes(range(256)) * 100
    stream, done = Stream(), []
    Upload(data, "raw", done.append, threading.Event()).send(stream)
    assert (stream.taken, stream.ended, done[-1]) == (data, "finished", len(data))


def test_a_stopped_upload_is_aborted() -> None:
    stream, stop = Stream(), threading.Event()
    stop.set()
    with pytest.raises(HypervisorFailed):
        Upload(b"data", "raw", lambda _: None, stop).send(stream)
    assert stream.ended == "aborted"


def test_a_source_that_shrinks_during_its_upload_fails(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(bytes(5000))
    upload, stream = Upload(file, "raw", lambda _: None, threading.Event()), Stream()
    file.write_bytes(bytes(3000))
    with pytest.raises(HypervisorFailed, match="3000 bytes, not 5000"):
        upload.send(stream)
    assert stream.ended == "aborted"
