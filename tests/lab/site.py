"""A controller in this process with hosts of the lab, as tests of bad luck need it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt
from tests.lab.hosts import hosts

from cernvmapi.models import Machine, MachineCreate, Operation, OperationStatus, Power, Status
from cernvmcontroller import naming
from cernvmcontroller.app import CernVMController
from cernvmcontroller.commands.check import Check
from cernvmcontroller.store import Actor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.lab.hosts import Host

    from cernvmcontroller.engine import Engine
    from cernvmcontroller.hypervisor.interface import Hypervisor

BUILD = Path(__file__).parents[2] / "appliance" / "build"
HUB = "luck"
ALICE = Actor("alice")


def tiny() -> str:
    """Return the manifest of the tiny guest, built if need be."""
    built = subprocess.run(
        [sys.executable, str(BUILD), "tiny"], check=True, stdout=subprocess.PIPE, text=True
    )
    return built.stdout.strip()


def options(made: list[Host], folder: Path) -> dict[str, Any]:
    """Return a controller's options: hosts, each with a pool of its own, and its state folder."""
    return {
        "state_dir": str(folder),
        "hub_name": HUB,
        "subnet": "10.102.224.0/24",
        "hosts": [
            {
                "name": host.name,
                "uris": [host.tls_uri],
                "pool": f"{HUB}-{host.name}",
                "pool_path": f"/var/lib/libvirt/{HUB}",
                "acceleration": "qemu",
            }
            for host in made
        ],
        "appliances": [tiny()],
        "flavors": [{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 128, "disk_mib": 64}],
        "home_mib": 64,
        "shutdown_timeout": 30,
    }


async def agrees(chosen: dict[str, Any]) -> None:
    """Fail where database, pools and domains do not agree; what was found is printed."""
    try:
        await Check(settle=1, **chosen).run()
    except SystemExit as ended:
        raise AssertionError(f"cernvm-controller check ended with {ended.code}") from None


def domains(host: Host) -> dict[str, bool]:
    """Return the ids of the machines whose domains a host has, and whether they are on."""
    with_libvirt = libvirt.open(host.uri)
    try:
        found = with_libvirt.listAllDomains()
        return {each.name().removeprefix(f"{HUB}-"): bool(each.isActive()) for each in found}
    finally:
        with_libvirt.close()


def volumes(host: Host) -> set[str]:
    """Return the names of a host's volumes, those that all machines share aside."""
    with_libvirt = libvirt.open(host.uri)
    try:
        pool = with_libvirt.storagePoolLookupByName(f"{HUB}-{host.name}")
        return {name for name in pool.listVolumes() if not name.startswith("base-")}
    finally:
        with_libvirt.close()


@contextlib.asynccontextmanager
async def open_site(number: int, folder: Path) -> AsyncIterator[Site]:
    """Yield a controller that was begun, with so many hosts of its own.

    Parameters
    ----------
    number
        Of hosts.
    folder
        A new one, for its state.
    """
    folder.mkdir(mode=0o700)  # noqa: ASYNC240 - in a moment, and of a test
    async with hosts(number) as made:
        site = Site(made, folder)
        await site.begin()
        try:
            yield site
        finally:
            await site.end()


class Site:
    """A controller and its hosts.

    Parameters
    ----------
    made
        The hosts.
    folder
        The controller's state.
    changes
        Options that are not as `options` has them.
    """

    def __init__(self, made: list[Host], folder: Path, **changes: Any) -> None:
        self.hosts = {host.name: host for host in made}
        self.options = options(made, folder) | changes
        self.program = CernVMController(**self.options)
        self.engine: Engine
        self._stack = AsyncExitStack()

    async def begin(self) -> None:
        """Start the controller; return when it knows its hosts, or that they do not answer."""
        self.engine = await self.program.open(self._stack)
        await self.engine.inventory.settled(30)

    async def end(self) -> None:
        """End the controller; machines go on."""
        await self._stack.aclose()

    # --- machines ---

    async def machine(self, host: str, *, home: bool = False) -> Machine:
        """Return a new machine on a host, off."""
        request = MachineCreate(appliance="tiny", host=host, home=home, server_name="" if home else None)
        made, _ = await self.engine.machines.create(ALICE, request, "alice" if home else None)
        return made

    async def running(self, host: str, *, home: bool = False) -> Machine:
        """Return a new machine on a host whose guest is up."""
        made = await self.machine(host, home=home)
        await self.done(await self.engine.machines.start(ALICE, made.id, None))
        return await self.get(made.id)

    async def get(self, machine: str) -> Machine:
        """Return a machine as the API shows it now."""
        return await self.engine.machines.get(machine)

    async def done(
        self,
        operation: Operation,
        status: OperationStatus = OperationStatus.SUCCEEDED,
        seconds: float = 45,
    ) -> None:
        """Wait until an operation ended as it should."""
        ended = await self.engine.operations.wait(operation.id, seconds)
        machine = await self.engine.machines.get(operation.subject.removeprefix("machine/"))
        assert ended.status is status, f"{ended}\n{machine.console_tail}"

    async def becomes(self, machine: str, status: Status, power: Power, seconds: float = 30) -> Machine:
        """Wait until a machine is so."""
        seen = await self.get(machine)
        try:
            async with asyncio.timeout(seconds):
                while (seen.status, seen.power) != (status, power):
                    await asyncio.sleep(0.05)
                    seen = await self.get(machine)
        except TimeoutError:
            raise AssertionError(f"not {status}, {power} within {seconds} s: {seen}") from None
        return seen

    async def answers(self, machine: Machine, word: str) -> None:
        """Type a word into a tiny guest's console until the guest repeats it."""
        async with asyncio.timeout(60):
            while f"CERNVMHUB-TINY-HEARD {word}" not in self.engine.consoles.text(machine.id)[0]:
                with contextlib.suppress(ConnectionError):
                    await self.engine.consoles.write(machine.id, f"{word}\n".encode())
                await asyncio.sleep(0.5)

    async def remove(self, machine: str) -> None:
        """Remove a machine and its home."""
        volume = (await self.get(machine)).home
        deleting = await self.engine.machines.delete(ALICE, machine)
        ended = await self.engine.operations.wait(deleting.id, 45)
        assert ended.status is OperationStatus.SUCCEEDED, ended
        if volume is not None:
            await self.engine.volumes.delete(ALICE, volume)

    def hypervisor(self, host: str) -> Hypervisor:
        """Return the controller's connection to a host."""
        return self.engine.inventory.links[host].hypervisor

    # --- what is there, as libvirt says it without the controller ---

    def domains(self, host: str) -> dict[str, bool]:
        """See `domains`."""
        return domains(self.hosts[host])

    def volumes(self, host: str) -> set[str]:
        """See `volumes`."""
        return volumes(self.hosts[host])

    def domain(self, host: str, machine: Machine) -> Any:
        """Return libvirt's domain of a machine, for whoever does something behind the hub's back."""
        uuid = naming.domain_uuid(self.engine.hub_id, machine.id)
        connection = libvirt.open(self.hosts[host].uri)
        # Not left to the garbage collection, which may be in the middle of anything.
        self._stack.callback(connection.close)
        return connection.lookupByUUIDString(uuid)

    def domain_name(self, machine: Machine) -> str:
        """Return the name of a machine's domain."""
        return naming.domain_name(HUB, machine.id)


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 30) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)
