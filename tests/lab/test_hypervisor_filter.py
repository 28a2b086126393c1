"""What a machine can send with our filter on its port, tried from a network namespace in the machine's place.

libvirt binds a filter to any port by name, so the rules are those of a real machine; and unlike a guest the
namespace says at once what came through.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import libvirt
import pytest
from lxml import etree
from tests.unit.hypervisor.bench import Bench, bench

from cernvmcontroller.hypervisor.elements import E

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.machines

LISTENER = """
import socket, sys
servers = [socket.create_server((address, int(port))) for address, port in
           (pair.rsplit(":", 1) for pair in sys.argv[1:])]
print("ready", flush=True)
sys.stdin.read()
"""

CLIENT = """
import json, socket, sys
kind, address, port, payload = sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4])
try:
    if kind == "tcp":
        socket.create_connection((address, port), 2).close()
        answer = "open"
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.connect((address, port))
            s.send(payload)
            answer = "open" if s.recv(2048) else "empty"
except ConnectionRefusedError:
    answer = "refused"
except (TimeoutError, OSError) as error:
    answer = "silent" if isinstance(error, TimeoutError) else error.strerror
print(json.dumps(answer))
"""

DNS_QUERY = "abcd01000001000000000000" + "0463686b34" + "0774657374746c6400" + "00010001"


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Port:
    """A network namespace with a veth in the machines' bridge, as machine `index` of the network."""

    def __init__(self, made: Bench, index: int) -> None:
        self.made = made
        self.address, self.mac = str(made.network.address(index)), made.network.mac(index)
        self.namespace = self.outer = f"hvt{uuid4().hex[:8]}"

    def plug_in(self) -> None:
        inner, bridge = f"i{self.outer}"[:15], self.made.network.bridge
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self.outer, "type", "veth", "peer", "name", inner, "netns", self.namespace)
        run("ip", "link", "set", self.outer, "master", bridge, "up")
        self.inside("ip", "link", "set", inner, "address", self.mac, "up")
        self.inside("ip", "link", "set", "lo", "up")
        prefix = self.made.network.cidr.prefixlen
        self.inside("ip", "address", "add", f"{self.address}/{prefix}", "dev", inner)
        self.inside("ip", "route", "add", "default", "via", str(self.made.network.gateway))
        self.inner = inner

    def pull_out(self) -> None:
        run("ip", "netns", "delete", self.namespace)

    def inside(self, *command: str) -> str:
        return run(*self.command(*command))

    def command(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *command]

    def tries(self, kind: str, address: str, port: int, payload: str = "00") -> str:
        answer = self.inside(sys.executable, "-c", CLIENT, kind, address, str(port), payload)
        return str(json.loads(answer))

    def binding(self) -> str:
        return etree.tostring(
            E.filterbinding(
                E.owner(E.name(self.namespace), E.uuid(str(uuid4()))),
                E.portdev(name=self.outer),
                E.mac(address=self.mac),
                E.filterref(
                    E.parameter(name="IP", value=self.address),
                    E.parameter(name="MAC", value=self.mac),
                    filter=self.made.filter.name,
                ),
            ),
            encoding="unicode",
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("qemu", tmp_path) as made:
        made.filter = replace(made.filter, blocked=("192.0.2.1",))
        await made.hypervisor.ensure_network(made.network)
        await made.hypervisor.ensure_filter(made.filter)
        yield made


@pytest.fixture
def ports(site: Bench) -> Iterator[list[Port]]:
    """Two machines' ports; the filter is on the first."""
    connection = libvirt.open("qemu:///system")
    both = [Port(site, 0), Port(site, 1)]
    for port in both:
        port.plug_in()
    binding = connection.nwfilterBindingCreateXML(both[0].binding())
    yield both
    binding.delete()
    connection.close()
    for port in both:
        port.pull_out()


@pytest.fixture
def listeners(site: Bench, ports: list[Port]) -> Iterator[None]:
    """Servers of the host on the gateway's address: one of the named ports, and another."""
    gateway = site.network.gateway
    ours = subprocess.Popen(
        [sys.executable, "-c", LISTENER, f"{gateway}:18001", f"{gateway}:18002"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    neighbour = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            ports[1].namespace,
            sys.executable,
            "-c",
            LISTENER,
            f"{ports[1].address}:8888",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    for process in (ours, neighbour):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    yield
    for process in (ours, neighbour):
        process.communicate()


@pytest.mark.usefixtures("listeners")
def test_what_a_machine_can_reach(site: Bench, ports: list[Port]) -> None:
    gateway, (machine, neighbour) = str(site.network.gateway), ports
    assert machine.tries("tcp", gateway, 18001) == "open", "a named port of the host"
    assert machine.tries("tcp", gateway, 18002) == "refused", "another port of the host"
    assert machine.tries("udp", gateway, 53, DNS_QUERY) == "open", "the network's name server"
    assert machine.tries("udp", gateway, 18002) in {"refused", "silent"}
    assert machine.tries("tcp", "169.254.169.254", 80) == "silent", "a cloud's metadata service"
    assert machine.tries("tcp", "192.0.2.1", 80) == "silent", "another address of the host"
    assert machine.tries("tcp", neighbour.address, 8888) != "open", "another machine"
    # Also not by way of the gateway, which forwards.
    machine.inside("ip", "route", "add", f"{neighbour.address}/32", "via", gateway)
    assert machine.tries("tcp", neighbour.address, 8888) != "open"


@pytest.mark.usefixtures("listeners")
def test_the_host_reaches_a_machine_and_hears_its_answer(ports: list[Port]) -> None:
    machine = ports[0]
    server = subprocess.Popen(
        machine.command(sys.executable, "-c", LISTENER, f"{machine.address}:8888"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    answer = run(sys.executable, "-c", CLIENT, "tcp", machine.address, "8888", "00")
    server.communicate()
    assert json.loads(answer) == "open"


@pytest.mark.usefixtures("listeners")
def test_a_machine_with_another_address_is_not_heard(site: Bench, ports: list[Port]) -> None:
    gateway, machine = str(site.network.gateway), ports[0]
    other = str(site.network.address(5))
    machine.inside("ip", "address", "flush", "dev", machine.inner)
    machine.inside("ip", "address", "add", f"{other}/24", "dev", machine.inner)
    machine.inside("ip", "route", "replace", "default", "via", gateway)
    assert machine.tries("tcp", gateway, 18001) != "open"


@pytest.mark.usefixtures("listeners")
def test_a_machine_with_another_mac_is_not_heard(site: Bench, ports: list[Port]) -> None:
    gateway, machine = str(site.network.gateway), ports[0]
    assert machine.tries("tcp", gateway, 18001) == "open"
    machine.inside("ip", "link", "set", machine.inner, "address", site.network.mac(5))
    assert machine.tries("tcp", gateway, 18001) != "open"
