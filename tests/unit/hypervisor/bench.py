"""What the contract is tested on: a fake, libvirt's test driver, a real daemon; each with its own names."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING
from uuid import uuid4

from cernvmcontroller.hypervisor import domainxml
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.hypervisor.interface import ByteStream, DomainEvent, Hypervisor, HypervisorEvent
from cernvmcontroller.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from cernvmcontroller.hypervisor.specs import (
    DomainSpec,
    FilterSpec,
    MachineMetadata,
    NetworkSpec,
    PoolSpec,
    VolumeRef,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from cernvmapi.models import Power

BUILD = Path(__file__).parents[3] / "appliance" / "build"

TEST_DRIVER = """
<node>
  <cpu><mhz>6000</mhz><model>i986</model><active>8</active><nodes>1</nodes><sockets>1</sockets>
  <cores>8</cores><threads>1</threads></cpu><memory>8192000</memory>
</node>
"""


@dataclass
class Bench:
    """A hypervisor and names that nobody else uses."""

    hypervisor: Hypervisor
    kind: str
    prefix: str = field(default_factory=lambda: f"hv-test-{uuid4().hex[:8]}")
    events: list[HypervisorEvent] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = SystemRandom().randrange(1, 255)
        path = f"/var/lib/libvirt/{self.prefix}"
        self.pool = PoolSpec(self.prefix, path)
        cidr = IPv4Network(f"10.213.{number}.0/24")
        self.network = NetworkSpec(self.prefix, f"hvt{uuid4().hex[:8]}", cidr, hosts=20)
        self.filter = FilterSpec(self.prefix, str(self.network.gateway), (18001,), ("192.0.2.1",), str(cidr))
        self.hypervisor.subscribe(self.events.append)

    def spec(self, **changes: object) -> DomainSpec:
        """Return a domain with a blank disk."""
        uuid = str(uuid4())
        self.made.append(uuid)
        spec = DomainSpec(
            name=f"{self.prefix}-{uuid[:8]}",
            uuid=uuid,
            title="A machine of a test",
            metadata=MachineMetadata(f"{self.prefix}", f"m-{uuid[:8]}", owner="alice", notebook=True),
            domain_type="qemu",
            vcpus=1,
            memory_mib=128,
            root=VolumeRef(f"{self.pool.path}/blank.qcow2"),
            network=self.network.name,
            mac=self.network.mac(0),
            address=str(self.network.address(0)),
            filter=self.filter.name,
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    def xml(self, spec: DomainSpec) -> str:
        """Return the XML that this hypervisor takes."""
        xml = domainxml.build(spec)
        return xml.replace('<domain type="qemu">', '<domain type="test">') if self.kind == "test" else xml

    async def surroundings(self) -> None:
        """Make what domains refer to."""
        await self.hypervisor.ensure_pool(self.pool)
        await self.hypervisor.ensure_network(self.network)
        if self.kind != "test":
            await self.hypervisor.ensure_filter(self.filter)
        await self.hypervisor.create_volume(self.pool.name, "blank.qcow2", capacity=1 << 20)

    async def defined(self, **changes: object) -> DomainSpec:
        """Return a domain that is defined."""
        spec = self.spec(**changes)
        await self.hypervisor.define(self.xml(spec))
        return spec

    async def power(self, uuid: str) -> Power:
        """Return a domain's power."""
        state = await self.hypervisor.domain(uuid)
        assert state is not None
        return state.power

    def kinds(self, uuid: str) -> list[str]:
        """Return what happened to a domain."""
        return [e.kind for e in self.events if isinstance(e, DomainEvent) and e.uuid == uuid]

    async def clean(self) -> None:
        """Remove all that was made."""
        for uuid in self.made:
            await self.hypervisor.destroy(uuid)
            await self.hypervisor.undefine(uuid)
        for pool in [self.pool.name]:
            if self.kind == "qemu" or isinstance(self.hypervisor, FakeHypervisor):
                await self._empty(pool)
            await self.hypervisor.remove_pool(pool)
        await self.hypervisor.remove_network(self.network.name)
        if self.kind != "test":
            await self.hypervisor.remove_filter(self.filter.name)

    async def _empty(self, pool: str) -> None:
        await self.hypervisor.ensure_pool(self.pool)
        for volume in await self.hypervisor.volumes(pool):
            await self.hypervisor.delete_volume(pool, volume.name)


@asynccontextmanager
async def bench(kind: str, folder: Path) -> AsyncIterator[Bench]:
    """Open a hypervisor of a kind, and leave nothing of the test on it."""
    hypervisor: Hypervisor
    if kind == "fake":
        hypervisor = FakeHypervisor()
    elif kind == "test":
        # Per test a file of its own: `test:///default` is one object for the whole process.
        file = folder / "node.xml"
        file.write_text(TEST_DRIVER)
        hypervisor = LibvirtHypervisor(f"test://{file}")
    else:
        hypervisor = LibvirtHypervisor("qemu:///system")
    made = Bench(hypervisor, kind)
    await hypervisor.open()
    try:
        yield made
    finally:
        await made.clean()
        await hypervisor.close()


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever it looks at has no event
            await asyncio.sleep(0.01)


async def read_until(stream: ByteStream, mark: bytes, seconds: float = 60) -> bytes:
    """Read until `mark` came, or the end."""
    heard = b""
    async with asyncio.timeout(seconds):
        while mark not in heard:
            data = await stream.read()
            if not data:
                break
            heard += data
    return heard


def tiny_image() -> Path:
    """Return the tiny guest's image, built if need be."""
    built = subprocess.run(
        [sys.executable, str(BUILD), "tiny"], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(built.stdout.strip()).with_name("tiny.qcow2")
