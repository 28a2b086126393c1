"""200 people press start in the same second, and there is room for 200 of 220; compared with bare libvirt."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import libvirt

from bench.installation import BenchFailed
from bench.load.figures import percentile
from bench.load.process import Controller
from bench.load.site import Site
from cernvmapi.errors import NoRoom
from cernvmapi.models import MachineCreate, Session

if TYPE_CHECKING:
    from pathlib import Path

    from cernvmapi.client import AsyncClient

STARTS, HOSTS, TOO_MANY = 200, 10, 20
MEMORY_MIB = 1024
PATIENCE = 240


async def measure(folder: Path, database_url: str | None) -> dict[str, Any]:
    """Return the figures.

    Raises
    ------
    BenchFailed
        More was promised than there is, or a start failed that had room.
    """
    room = STARTS // HOSTS * MEMORY_MIB
    site = Site(folder / "burst", hosts=HOSTS, host_memory_mib=room, database_url=database_url)
    async with Controller(site, memory_overcommit=1.0) as controller:
        began = time.monotonic()
        ended = await asyncio.gather(*(_start(controller.client, n) for n in range(STARTS + TOO_MANY)))
        seconds = time.monotonic() - began
        hosts = await controller.client.hosts.list()
    times = [each for each in ended if each is not None]
    oversold = sum(max(0, host.memory_promised_mib - host.memory_mib) for host in hosts)
    if oversold or len(times) != STARTS:
        raise BenchFailed(f"{len(times)} of {STARTS} starts succeeded and {oversold} MiB are oversold.")
    bare = await asyncio.to_thread(_bare, folder)
    return {
        "starts": STARTS,
        "refused": len(ended) - len(times),
        "oversold_mib": oversold,
        "starts_per_second": STARTS / seconds,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "seconds": seconds,
        "bare": bare,
        "ratio": seconds / bare,
    }


async def _start(client: AsyncClient, number: int) -> float | None:
    """Return the seconds from the request to a server that answers; None where there is no room."""
    began = time.monotonic()
    request = MachineCreate(
        owner=f"starter{number}",
        server_name="",
        notebook=True,
        home=True,
        flavor="small",
        vcpus=1,
        memory_mib=MEMORY_MIB,
    )
    try:
        machine = await client.machines.create(request)
    except NoRoom:
        return None
    session = Session(env={"JUPYTERHUB_API_TOKEN": f"token-of-{number}"})
    await client.machines.start(machine.id, session, wait=True, timeout=PATIENCE)
    return time.monotonic() - began


def _bare(folder: Path) -> float:
    """Return the seconds in which libvirt alone defines and starts as many domains on one host."""
    file = folder / "bare.xml"
    file.write_text("<node/>")
    connection = libvirt.open(f"test://{file}")
    began = time.monotonic()
    for number in range(STARTS):
        connection.defineXML(
            f"<domain type='test'><name>bare-{number}</name><memory unit='MiB'>{MEMORY_MIB}</memory>"
            "<vcpu>1</vcpu><os><type>hvm</type></os></domain>"
        ).create()
    seconds = time.monotonic() - began
    connection.close()
    return seconds
