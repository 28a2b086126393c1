"""The lab itself: hosts that are real, apart from each other, and leave nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import libvirt
import pytest
from tests.lab.hosts import Host, HostFailed, hosts
from tests.lab.hosts.lab import FOLDERS, PREFIX, sweep
from tests.lab.hosts.namespaces import run
from tests.lab.hosts.pki import Authority
from tests.unit.hypervisor.bench import until

from cernvmapi.errors import HostUnreachable
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor

pytestmark = pytest.mark.machines
ROOT = Path(__file__).parents[2]


def ours(lab: str) -> list[str]:
    """Return what this machine has of one lab: processes, devices, mounts, folder."""
    number = lab.removeprefix(PREFIX)
    links = re.findall(rf"\blab{number}\b", run("ip", "-o", "link"))
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/{lab}/" in line]
    folders = [str(path) for path in FOLDERS.glob(lab)]
    return [*links, *mounts, *folders]


def programs(pids: list[int]) -> list[int]:
    """Return those of the processes that there still are."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def beneath(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [*children, *(each for child in children for each in beneath(child))]


async def test_hosts_are_apart_from_each_other_and_from_this_machine() -> None:
    began = time.monotonic()
    async with hosts(3) as made:
        assert time.monotonic() - began < 15
        lab = made[0].place.folder.parent.name
        uris = ["qemu:///system", *(host.tls_uri for host in made)]
        assert len({libvirt.open(uri).getCapabilities() for uri in uris}) == 4, "host UUIDs differ"
        for host in made:
            assert libvirt.open(host.uri).getHostname() == host.name
        assert ours(lab)
    assert ours(lab) == []


async def test_a_host_that_does_not_start_takes_the_others_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Host] = []
    original = Host.restart_daemon

    async def restart(host: Host) -> None:
        made.append(host)
        if host.name == "beta":
            host.certify(timedelta(hours=-1))
        await original(host)

    monkeypatch.setattr(Host, "restart_daemon", restart)
    with pytest.raises(HostFailed, match=r"beta(.|\n)*servercert.pem has expired"):
        async with hosts(2):
            pass
    assert ours(made[0].place.folder.parent.name) == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name
)
def test_nothing_is_left_of_a_program_that_was_ended(number: signal.Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.hosts", "2"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = program.stdout.readline()
            assert line, said
            said += line
        lab = re.search(rf"{PREFIX}\d+", said)[0]  # type: ignore[index]
        pids = beneath(program.pid)
        assert len(pids) > 6
    finally:
        os.kill(program.pid, number)
        program.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while programs(pids):
        assert time.monotonic() < deadline, programs(pids)
    if number is signal.SIGKILL:
        sweep()
        while ours(lab):
            assert time.monotonic() < deadline, ours(lab)
    assert ours(lab) == []


async def refusal(uri: str) -> str:
    """Return why a controller cannot connect."""
    hypervisor = LibvirtHypervisor(uri, connect_deadline=5)
    try:
        with pytest.raises(HostUnreachable) as caught:
            await hypervisor.open()
        return caught.value.detail
    finally:
        await hypervisor.close()


async def test_what_is_wrong_with_certificates_is_said() -> None:
    async with hosts(1) as (alpha,):
        folder = alpha.place.folder.parent
        Authority("stranger").write_client(folder / "stranger")
        assert "not accepted: it expired, is for another name" in await refusal(
            alpha.tls_uri_with(folder / "stranger")
        )
        alpha.authority.write_client(folder / "old", timedelta(hours=-1))
        assert "clientcert.pem expired. Renew it" in await refusal(alpha.tls_uri_with(folder / "old"))
        assert "Put the certificates there" in await refusal(alpha.tls_uri_with(folder / "nowhere"))
        alpha.certify(timedelta(seconds=2))
        await alpha.restart_daemon()
        hypervisor = LibvirtHypervisor(alpha.tls_uri)
        await hypervisor.open()
        await hypervisor.close()
        end = time.monotonic() + 3
        await until(lambda: time.monotonic() > end)  # until it expired
        assert "it expired" in await refusal(alpha.tls_uri)
        alpha.kill_daemon()
        assert "nothing answers at its address (Connection refused)" in await refusal(alpha.tls_uri)
        assert "its libvirt daemon does not listen on" in await refusal(alpha.uri)
