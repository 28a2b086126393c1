"""Hosts of the lab, attached over TLS while the controller runs; cut off, frozen, and back.

The machines have an empty disk: their QEMU runs, and no guest boots in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import libvirt
import pytest
from tests.lab.hosts import Host, hosts
from tests.lab.hosts.pki import Authority

from cernvmapi.errors import Conflict, HostUnreachable, Invalid
from cernvmapi.hosts import HostAttach, HostTest
from cernvmapi.models import Level, Machine, MachineCreate, OperationStatus, Power, Status
from cernvmcontroller.app import CernVMController
from cernvmcontroller.store import Actor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from cernvmcontroller.engine import Engine

pytestmark = pytest.mark.machines
HUB = "hostslab"
ROOT = Actor("root")


class Site(NamedTuple):
    """A controller without configured hosts, and two hosts that it can attach."""

    engine: Engine
    alpha: Host
    beta: Host
    credentials: Path


def appliance(folder: Path) -> str:
    """Return the manifest of an appliance with an empty disk."""
    image = folder / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "16M"], check=True)
    record = {
        "id": "empty",
        "title": "Empty",
        "version": "1",
        "sha256": hashlib.sha256(image.read_bytes()).hexdigest(),
        "size": image.stat().st_size,
        "virtual_size_mib": 16,
        "min_memory_mib": 64,
        "notebook": False,
        "updated": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "file": image.name,
    }
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(record))
    return str(manifest)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with hosts(2) as (alpha, beta), AsyncExitStack() as stack:
        state = tmp_path / "state"
        state.mkdir(mode=0o700)
        shutil.copytree(alpha.place.pki, state / "credentials" / "lab")
        program = CernVMController(
            state_dir=str(state),
            hub_name=HUB,
            subnet="10.110.0.0/24",
            blocked=[],
            hosts=[],
            appliances=[appliance(tmp_path)],
            flavors=[{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 64, "disk_mib": 16}],
        )
        yield Site(await program.open(stack), alpha, beta, state / "credentials")


def uri(host: Host) -> str:
    return f"qemu+tls://{host.address}/system"


async def attach(site: Site, host: Host) -> None:
    request = HostAttach(
        name=host.name, uris=[uri(host)], credentials="lab", acceleration="qemu", labels={"lab": host.name}
    )
    attached = await site.engine.hosts.attach(ROOT, request)
    assert (attached.alive, attached.level, attached.reason) == (True, Level.NOTEBOOK, "")


async def running(site: Site, host: Host) -> Machine:
    machine, _ = await site.engine.machines.create(
        ROOT, MachineCreate(host_labels={"lab": host.name}), "alice"
    )
    operation = await site.engine.machines.start(ROOT, machine.id, None)
    done = await site.engine.operations.wait(operation.id, 60)
    assert done.status is OperationStatus.SUCCEEDED, done
    return await site.engine.machines.get(machine.id)


async def until(site: Site, machine: str, check: Callable[[Machine], bool], seconds: float = 30) -> Machine:
    news = site.engine.events.subscribe(types={"machine.changed"})
    async with asyncio.timeout(seconds):
        while not check(found := await site.engine.machines.get(machine)):
            await anext(news)
    return found


async def came_back(site: Site, host: Host, seconds: float = 60) -> None:
    news = site.engine.events.subscribe(types={"host.changed"})
    async with asyncio.timeout(seconds):
        while not (await site.engine.inventory.host(host.name)).alive:
            await anext(news)


async def test_a_connection_over_tls_is_tested_before_it_is_kept(site: Site) -> None:
    alpha, test = site.alpha, site.engine.hosts.test
    report = await test(HostTest(uri=uri(alpha), credentials="lab"))
    assert (report.reachable, report.level, report.hostname) == (True, Level.NOTEBOOK, "alpha")
    assert "qemu" in report.domain_types
    assert report.cpus > 0
    assert len(report.cpu_features) > 10
    assert report.memory_free_mib
    assert (report.pools, report.domains) == ([], 0)

    Authority("stranger").write_client(site.credentials / "stranger")
    alpha.authority.write_client(site.credentials / "old", timedelta(hours=-1))
    for credentials, words in (
        ("stranger", "its certificate is not accepted"),
        ("old", "clientcert.pem expired. Renew it"),
    ):
        report = await test(HostTest(uri=uri(alpha), credentials=credentials))
        assert not report.reachable
        assert words in report.reason
    with pytest.raises(Invalid, match="The credentials nowhere lack"):
        await test(HostTest(uri=uri(alpha), credentials="nowhere"))
    alpha.kill_daemon()
    report = await test(HostTest(uri=uri(alpha), credentials="lab"))
    assert "nothing answers at its address (Connection refused)" in report.reason
    assert await site.engine.inventory.hosts() == []


async def test_what_libvirt_here_cannot_open_is_said_in_plain_words(site: Site) -> None:
    for cannot in ("vmwarefusion:///session", "xen:///", "lxc:///", "nosuch:///"):
        report = await site.engine.hosts.test(HostTest(uri=cannot))
        assert not report.reachable
        assert "libvirt on the controller's machine" in report.reason, report.reason


async def test_attached_hosts_get_machines_and_are_detached(site: Site) -> None:
    for host in (site.alpha, site.beta):
        await attach(site, host)
    first, second = await running(site, site.alpha), await running(site, site.beta)
    assert (first.host, second.host) == ("alpha", "beta")
    assert first.hypervisor == uri(site.alpha), "no path of a key is shown"
    assert first.address != second.address
    for host, machine in ((site.alpha, first), (site.beta, second)):
        connection = libvirt.open(host.uri)
        domain = connection.lookupByUUIDString(machine.uuid)
        assert domain.isActive()
        assert connection.networkLookupByName(HUB).isActive()
        assert connection.storagePoolLookupByName(f"{HUB}-{host.name}").isActive()
        report = await site.engine.hosts.look(host.name)
        assert (report.domains, report.running) == (1, 1)
        assert [pool.name for pool in report.pools] == [f"{HUB}-{host.name}"]
        assert [network.name for network in report.networks] == [HUB]
        connection.close()
    with pytest.raises(Conflict, match="1 machines and 0 homes are on the host beta"):
        await site.engine.hosts.detach(ROOT, "beta", forget=False)
    operation = await site.engine.machines.delete(ROOT, second.id)
    assert (await site.engine.operations.wait(operation.id, 30)).status is OperationStatus.SUCCEEDED
    await site.engine.hosts.detach(ROOT, "beta", forget=False)
    assert [host.id for host in await site.engine.inventory.hosts()] == ["alpha"]


@pytest.mark.parametrize("how", ["cut off", "frozen", "killed"])
async def test_a_host_that_goes_is_marked_within_seconds_and_the_other_stays_fast(
    site: Site, how: str
) -> None:
    for host in (site.alpha, site.beta):
        await attach(site, host)
    {"cut off": site.alpha.cut, "frozen": site.alpha.freeze, "killed": site.alpha.kill_daemon}[how]()
    news = site.engine.events.subscribe(types={"host.changed"})
    async with asyncio.timeout(15):
        while (gone := await site.engine.inventory.host("alpha")).alive:
            await anext(news)
    assert gone.unknown_since is not None
    assert gone.reason
    with pytest.raises(HostUnreachable):
        await site.engine.hosts.look("alpha")
    machine, _ = await site.engine.machines.create(ROOT, MachineCreate(), "alice")
    assert machine.host == "beta"
    began = time.monotonic()
    assert (await site.engine.hosts.look("beta")).reachable
    assert time.monotonic() - began < 5
    if how == "cut off":
        site.alpha.mend()
    elif how == "frozen":
        site.alpha.thaw()
    else:
        await site.alpha.restart_daemon()
    await came_back(site, site.alpha)
    back = await site.engine.inventory.host("alpha")
    assert (back.unknown_since, back.reason) == (None, "")


@pytest.mark.parametrize("how", ["cut off", "frozen"])
async def test_a_host_that_goes_is_unknown_within_seconds_and_what_happened_meanwhile_is_found(
    site: Site, how: str
) -> None:
    for host in (site.alpha, site.beta):
        await attach(site, host)
    lost, kept = await running(site, site.alpha), await running(site, site.beta)
    began = time.monotonic()
    if how == "cut off":
        site.alpha.cut()
    else:
        site.alpha.freeze()
    unknown = await until(site, lost.id, lambda found: found.power is Power.UNKNOWN)
    assert time.monotonic() - began < 15
    assert (unknown.status, unknown.actions) == (Status.RUNNING, [])
    host = await site.engine.inventory.host("alpha")
    assert (host.alive, host.unknown_since is not None) == (False, True)
    assert unknown.unknown_since is not None
    assert abs(unknown.unknown_since - host.unknown_since) < timedelta(seconds=2)  # type: ignore[operator]
    with pytest.raises(HostUnreachable):
        await site.engine.machines.poweroff(ROOT, lost.id)

    began = time.monotonic()
    assert (await site.engine.machines.page()).total == 2
    assert (await site.engine.hosts.look("beta")).running == 1
    assert (await site.engine.machines.get(kept.id)).power is Power.ON
    another = await running(site, site.beta)
    assert time.monotonic() - began < 10
    assert another.host == "beta"

    if how == "cut off":
        site.alpha.kill_machine(next(iter(site.alpha.machine_pids())))
        site.alpha.mend()
    else:
        site.alpha.thaw()
    await came_back(site, site.alpha)
    if how == "cut off":
        found = await until(site, lost.id, lambda found: found.power is Power.OFF)
        assert found.status is Status.FAILED
        assert found.error is not None
    else:
        found = await until(site, lost.id, lambda found: found.power is Power.ON)
        assert found.status is Status.RUNNING
    assert found.unknown_since is None
    assert (await site.engine.inventory.host("alpha")).unknown_since is None
