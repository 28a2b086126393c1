"""The lab: a folder, a switch, and hosts on it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shutil
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.hosts.host import Host, Place
from tests.lab.hosts.namespaces import Namespaces, NamespacesFailed, run
from tests.lab.hosts.pki import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
FOLDERS = Path(tempfile.gettempdir())
PREFIX = "cernvm-lab-"
_NETWORK = "10.102"
"""Each lab has one /24 of it, by its number."""
_MOST = 200


@asynccontextmanager
async def hosts(number: int = 3) -> AsyncIterator[list[Host]]:
    """Start hosts; nothing of them is left afterwards.

    Parameters
    ----------
    number
        How many, at most eight.

    Raises
    ------
    HostFailed
        One does not start; the others are ended too.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(_claimed_folder())
        lab_number = folder.name.removeprefix(PREFIX)
        subnet = f"{_NETWORK}.{lab_number}"
        switch = stack.enter_context(_switch(folder, f"lab{lab_number}", f"{subnet}.1/24"))
        authority = Authority(f"lab {lab_number}")
        authority.write_client(folder / "pki")
        shared = folder / "shared"
        shared.mkdir()
        made = [
            Host(Place(name, f"{subnet}.{index}", folder / name, switch, shared, folder / "pki"), authority)
            for index, name in enumerate(NAMES[:number], start=11)
        ]
        for host in made:
            stack.callback(host.end)
        # One that fails must not leave others that still start.
        results = await asyncio.gather(*(host.start() for host in made), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        yield made


def sweep() -> None:
    """Remove the folders of labs whose programs were killed; all else of them went with the programs."""
    for folder in FOLDERS.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


@contextmanager
def _claimed_folder() -> Iterator[Path]:
    """Yield a folder whose number no other lab has; the lock in it says that its program lives."""
    with ExitStack() as stack:
        with (FOLDERS / f".{PREFIX}lock").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            sweep()
            free = (FOLDERS / f"{PREFIX}{number}" for number in range(1, _MOST))
            folder = next(each for each in free if not each.exists())
            folder.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, folder)
            lock = stack.enter_context((folder / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@contextmanager
def _switch(folder: Path, cable: str, address: str) -> Iterator[Namespaces]:
    """Yield a switch, in namespaces of its own, with a cable to this machine."""
    switch = Namespaces(folder / "switch.log")
    switch.make()
    try:
        with contextlib.suppress(NamespacesFailed):  # of a lab that was killed a moment ago
            run("ip", "link", "delete", cable)
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "machine", "netns", str(switch.pid))
        switch.inside("ip", "link", "add", "switch", "type", "bridge")
        for link in ("switch", "machine"):
            switch.inside("ip", "link", "set", link, "up")
        switch.inside("ip", "link", "set", "machine", "master", "switch")
        run("ip", "address", "add", address, "dev", cable)
        run("ip", "link", "set", cable, "up")
        yield switch
    finally:
        # Namespaces take a moment to go after their last process; the cable goes now.
        with contextlib.suppress(NamespacesFailed):
            run("ip", "link", "delete", cable)
        switch.end()
