"""What a hostile machine can make its host or its neighbour hear: frame by frame and port by port.

As in `test_hypervisor_filter`, a network namespace stands in the machine's place, behind the real filter.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.lab.test_hypervisor_filter import Port, ports, run, site  # noqa: F401 - fixtures

from cernvmcontroller.hypervisor.filterxml import MOST_CONNECTIONS

if TYPE_CHECKING:
    from tests.unit.hypervisor.bench import Bench

pytestmark = pytest.mark.machines

MARK = b"cernvmhub-hostile-frame"

SENDER = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
    s.bind((sys.argv[1], 0))
    for frame in sys.argv[2:]:
        s.send(bytes.fromhex(frame))
"""

SNIFFER = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
s.settimeout(20)
print("ready", flush=True)
while True:
    frame = s.recv(65535)
    if sys.argv[2].encode() in frame:
        print(frame.hex(), flush=True)
    if b"that-was-all" in frame:
        break
"""

SCAN = """
import errno, json, select, socket, sys
address, reached, SO_RCVBUFFORCE = sys.argv[1], set(), 33
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
sniffer.setblocking(False)

def listen(seconds):
    while select.select([sniffer], [], [], seconds)[0]:
        frame = sniffer.recv(2048)
        if frame[23] == 6 and frame[26:30] == socket.inet_aton(address):
            reached.add(int.from_bytes(frame[34:36]))

for first in range(1, 65536, 500):
    tried = []
    for port in range(first, min(first + 500, 65536)):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((address, port))
        tried.append(s)
    listen(0.01)
    for s in tried:
        s.close()
listen(1)
print(json.dumps(sorted(reached)))
"""

UDP_SERVER = """
import select, socket, sys
servers = []
for port in [5353, 111, 161, 1900, 67, *range(20000, 21000)]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.bind((sys.argv[1], port))
    except OSError:
        continue
    servers.append(s)
print("ready", flush=True)
while True:
    readable, _, _ = select.select([*servers, sys.stdin], [], [])
    if sys.stdin in readable:
        break
    for s in readable:
        print(s.getsockname()[1], s.recv(100), flush=True)
"""

MANY = """
import json, socket, sys
kept, refused = [], 0
for _ in range(int(sys.argv[3])):
    s = socket.socket()
    s.settimeout(0.3)
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
    except OSError:
        refused += 1
    kept.append(s)
print(json.dumps(len(kept) - refused))
"""

ACCEPT = """
import select, socket, sys
server = socket.create_server((sys.argv[1], 18001), backlog=1000)
print("ready", flush=True)
kept = []
while True:
    readable, _, _ = select.select([server, sys.stdin], [], [])
    if sys.stdin in readable:
        break
    kept.append(server.accept()[0])
"""


def start(*command: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(target: bytes, source: bytes, kind: int, rest: bytes) -> str:
    return (target + source + kind.to_bytes(2) + rest + b" " + MARK).ljust(60, b"\0").hex()


def ipv4(source: str, target: str, protocol: int, rest: bytes) -> bytes:
    head = bytearray(b"\x45\0" + (20 + len(rest) + len(MARK) + 1).to_bytes(2) + b"\0\0\0\0\x40")
    head += bytes([protocol]) + b"\0\0" + socket.inet_aton(source) + socket.inet_aton(target)
    total = sum(int.from_bytes(head[at : at + 2]) for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    head[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2)
    return bytes(head) + rest


def udp(source: int, target: int) -> bytes:
    return source.to_bytes(2) + target.to_bytes(2) + (8 + len(MARK) + 1).to_bytes(2) + b"\0\0"


def arp(operation: int, mac_: bytes, source: str, target: str) -> bytes:
    head = b"\0\x01\x08\0\x06\x04" + operation.to_bytes(2)
    return head + mac_ + socket.inet_aton(source) + bytes(6) + socket.inet_aton(target)


def frames(made: Bench, machine: Port, neighbour: Port) -> dict[str, str]:
    """Return what a hostile machine sends."""
    me, them, all_ = mac(machine.mac), mac(neighbour.mac), b"\xff" * 6
    gateway, mine, theirs = str(made.network.gateway), machine.address, neighbour.address
    bridge = mac(run("cat", f"/sys/class/net/{made.network.bridge}/address").strip())
    router = bytes.fromhex("333300000001")
    ipv6 = (
        b"\x60\0\0\0\0\x20\x3a\xff"
        + bytes.fromhex("fe80" + "0" * 27 + "9")
        + bytes.fromhex("ff02" + "0" * 27 + "1")
    )
    return {
        "a router advertisement": ethernet(router, me, 0x86DD, ipv6 + b"\x86" + bytes(15)),
        "IPv6 to the host": ethernet(bridge, me, 0x86DD, ipv6),
        "an answer of a DHCP server": ethernet(
            all_, me, 0x0800, ipv4(mine, "255.255.255.255", 17, udp(67, 68))
        ),
        "one to the neighbour": ethernet(them, me, 0x0800, ipv4(mine, theirs, 17, udp(67, 68))),
        "a packet to the neighbour": ethernet(them, me, 0x0800, ipv4(mine, theirs, 17, udp(9, 8888))),
        "one by way of the gateway": ethernet(bridge, me, 0x0800, ipv4(mine, theirs, 17, udp(9, 8888))),
        "a multicast": ethernet(
            bytes.fromhex("01005e0000fb"), me, 0x0800, ipv4(mine, "224.0.0.251", 17, udp(5353, 5353))
        ),
        "a broadcast": ethernet(
            all_, me, 0x0800, ipv4(mine, str(made.network.cidr.broadcast_address), 17, udp(9, 9))
        ),
        "another source address": ethernet(bridge, me, 0x0800, ipv4(theirs, gateway, 17, udp(9, 53))),
        "the gateway's address": ethernet(bridge, me, 0x0800, ipv4(gateway, "192.0.2.7", 17, udp(9, 53))),
        "another source MAC": ethernet(bridge, them, 0x0800, ipv4(mine, gateway, 17, udp(9, 53))),
        "the metadata service": ethernet(bridge, me, 0x0800, ipv4(mine, "169.254.169.254", 17, udp(9, 80))),
        "the host's loopback": ethernet(bridge, me, 0x0800, ipv4(mine, "127.0.0.1", 17, udp(9, 80))),
        "the gateway's address claimed by ARP": ethernet(all_, me, 0x0806, arp(2, me, gateway, theirs)),
        "the neighbour's address claimed by ARP": ethernet(all_, me, 0x0806, arp(1, me, theirs, theirs)),
        "ARP of another MAC": ethernet(all_, me, 0x0806, arp(2, them, mine, gateway)),
        "a VLAN": ethernet(bridge, me, 0x8100, b"\0\x05\x08\0" + ipv4(mine, gateway, 17, udp(9, 53))),
        "two VLANs": ethernet(bridge, me, 0x88A8, b"\0\x05\x81\0\0\x05\x08\0"),
        "spanning tree": ethernet(bytes.fromhex("0180c2000000"), me, 0x0026, b"\x42\x42\x03"),
        "LLDP": ethernet(bytes.fromhex("0180c200000e"), me, 0x88CC, b"\x02\x07\x04"),
        "an unheard-of protocol": ethernet(all_, me, 0x88B5, b""),
    }


def test_no_frame_of_a_hostile_machine_is_heard(site: Bench, ports: list[Port]) -> None:  # noqa: F811
    machine, neighbour = ports
    for port in ports:
        run("bridge", "link", "set", "dev", port.outer, "isolated", "on")
    me, gateway = mac(machine.mac), str(site.network.gateway)
    # Who asks for the gateway may: this shows that the listeners hear, and that it is over.
    allowed = ethernet(b"\xff" * 6, me, 0x0806, arp(1, me, machine.address, gateway) + b" that-was-all")
    host = start(sys.executable, "-c", SNIFFER, site.network.bridge, MARK.decode())
    beside = start(*neighbour.command(sys.executable, "-c", SNIFFER, neighbour.inner, MARK.decode()))
    sent = frames(site, machine, neighbour)
    machine.inside(sys.executable, "-c", SENDER, machine.inner, *sent.values(), allowed)
    heard, _ = host.communicate(timeout=30)
    names = {frame: name for name, frame in sent.items()}
    assert [names.get(frame, frame) for frame in heard.split()] == [allowed]
    # The neighbour hears not even that: its port is isolated.
    run(
        sys.executable,
        "-c",
        SENDER,
        site.network.bridge,
        ethernet(b"\xff" * 6, bytes(6), 0x88B5, b"that-was-all"),
    )
    told, _ = beside.communicate(timeout=30)
    assert b"that-was-all" in bytes.fromhex(told.strip())
    assert len(told.split()) == 1, told


def test_of_all_tcp_ports_of_the_host_only_the_named_ones_are_reached(
    site: Bench,  # noqa: F811
    ports: list[Port],  # noqa: F811
) -> None:
    gateway = str(site.network.gateway)
    # A port that is reached says so itself, open or not: an answer of TCP comes from the host's own stack.
    reached = json.loads(ports[0].inside(sys.executable, "-c", SCAN, gateway))
    assert reached == [53, 18001]


@pytest.mark.parametrize("address", ["0.0.0.0", "gateway"])
def test_no_udp_port_of_the_host_is_reached(site: Bench, ports: list[Port], address: str) -> None:  # noqa: F811
    gateway = str(site.network.gateway)
    server = start(sys.executable, "-c", UDP_SERVER, gateway if address == "gateway" else address)
    send = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    send += "for port in range(1, 65536):\n    try:\n"
    send += "        s.sendto(sys.argv[2].encode(), (sys.argv[1], port))\n"
    send += "    except OSError:\n        pass\n"
    ports[0].inside(sys.executable, "-c", send, gateway, "of the machine")
    run(sys.executable, "-c", send, gateway, "of the host")
    heard, _ = server.communicate(timeout=30)
    assert "of the host" in heard, "the listeners hear"
    assert "of the machine" not in heard.replace("67 b'of the machine'", ""), "only DHCP's port is open"


def test_one_machine_cannot_have_all_connections_of_the_host(site: Bench, ports: list[Port]) -> None:  # noqa: F811
    gateway = str(site.network.gateway)
    server = start(sys.executable, "-c", ACCEPT, gateway)
    made = json.loads(
        ports[0].inside(sys.executable, "-c", MANY, gateway, "18001", str(MOST_CONNECTIONS + 20))
    )
    server.communicate(timeout=30)
    assert made == MOST_CONNECTIONS


def test_the_filter_stays_whatever_the_machine_does_to_its_port(site: Bench, ports: list[Port]) -> None:  # noqa: F811
    machine, gateway = ports[0], str(site.network.gateway)
    for change in (["down"], ["up"], ["promisc", "on"], ["mtu", "1400"], ["arp", "off"], ["arp", "on"]):
        machine.inside("ip", "link", "set", machine.inner, *change)
    machine.inside("ip", "route", "replace", "default", "via", gateway)
    server = start(sys.executable, "-c", ACCEPT.replace("18001", "18002"), gateway)
    assert machine.tries("tcp", gateway, 18002) == "refused"
    server.communicate(timeout=30)
