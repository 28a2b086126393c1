"""How fast an image comes, is verified and imported: ``python -m bench.downloads``.

Its measure is what a person types for the same: curl, then sha256sum, then qemu-img convert.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from uuid import uuid4

from cernvmapi.models import ApplianceCreate, OperationStatus
from cernvmcontroller.fetch import Fetcher
from cernvmcontroller.machines.operations import Operations
from cernvmcontroller.repository import Repository
from cernvmcontroller.repository.downloads import Downloads
from cernvmcontroller.store import Actor, Store

RATIO = 1.0
"""Times what is typed by hand takes."""
_MIB = 1024**2


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def image(folder: Path, mebibytes: int) -> Path:
    """Return a raw disk with one partition, full of what does not compress."""
    path = folder / "image.raw"
    some = random.Random(1).randbytes(_MIB)  # noqa: S311 - content, no secret
    with path.open("wb") as file:
        for number in range(mebibytes):
            file.write(struct.pack(">Q", number) + some[8:])
        file.seek(446)
        file.write(struct.pack("<B3xB3xII", 0x80, 0x83, 2048, mebibytes * 2048 - 2048))
        file.write(bytes(48) + b"\x55\xaa")
    return path


def by_hand(url: str, folder: Path) -> float:
    """Return the seconds that the programs take."""
    began = time.monotonic()
    for command in (
        ["curl", "-sSo", "got", url],
        ["sha256sum", "got"],
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "got", "got.qcow2"],
    ):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


async def by_the_hub(url: str, sha256: str, folder: Path) -> float:
    """Return the seconds from the request to the appliance."""
    store = await Store.open(f"sqlite+aiosqlite:///{folder}/db.sqlite", str(uuid4()))
    repository = Repository(store, [], None, folder)
    fetcher = Fetcher.of_site(["127.0.0.1"], None)
    downloads = Downloads(store, fetcher, repository)
    operations = Operations(store, {})
    try:
        began = time.monotonic()
        request = ApplianceCreate(url=url, title="Bench", sha256=sha256, allow_http=True)
        operation = await downloads.create(Actor("bench"), request)
        done = await operations.wait(operation.id, 600)
        seconds = time.monotonic() - began
        if done.status is not OperationStatus.SUCCEEDED:
            raise SystemExit(f"It failed: {done.error}")
        return seconds
    finally:
        await downloads.close()
        await store.close()


def main() -> None:
    """Measure, and end with 1 where it takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of the image")
    parser.add_argument("--runs", type=int, default=3, help="how often each is done")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cernvmhub-bench-") as name:
        folder = Path(name)
        path = image(folder, given.mebibytes)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
        hand, hub = [], []
        for run in range(given.runs):
            work = folder / f"run-{run}"
            work.mkdir()
            hand.append(by_hand(url, work))
            hub.append(asyncio.run(by_the_hub(url, digest, work)))
            shutil.rmtree(work)
        server.shutdown()
    ratio = median(hub) / median(hand)
    within = "within" if ratio <= RATIO else "OVER"
    print(f"An image of {given.mebibytes} MiB (median of {given.runs}):")
    print(f"  by hand     {median(hand):6.2f} s")
    print(f"  by the hub  {median(hub):6.2f} s, {ratio:.2f} x  ({within} {RATIO:g} x)")
    sys.exit(ratio > RATIO)


if __name__ == "__main__":
    main()
