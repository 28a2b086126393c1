"""One host of the lab: its daemon, its machines' processes, its cable."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.lab.hosts.namespaces import Namespaces, NamespacesFailed, run

if TYPE_CHECKING:
    from datetime import timedelta

    from tests.lab.hosts.pki import Authority

SHARED = "/var/lib/libvirt/shared"
"""The folder that all hosts of a lab have in common, as each of them sees it."""

BRIDGE = "lan"
"""The bridge that each host's card is in, and that machines can be put on."""

_PATIENCE = 30
_FILTERS = Path("/usr/share/libvirt/nwfilter")
_KNOWN_EMULATORS = Path("/var/cache/libvirt")
_ACCOUNT = "libvirt-qemu"

_DAEMON = """
listen_tls = 1
listen_tcp = 0
listen_addr = "{address}"
host_uuid = "{uuid}"
auth_unix_rw = "none"
ca_file = "/etc/libvirt/pki/cacert.pem"
cert_file = "/etc/libvirt/pki/servercert.pem"
key_file = "/etc/libvirt/pki/serverkey.pem"
"""

_QEMU = """
security_driver = "none"
cgroup_controllers = []
namespaces = []
migration_host = "{address}"
migration_address = "{address}"
migrate_tls_x509_cert_dir = "/etc/libvirt/pki-qemu"
migrate_tls_x509_verify = 1
"""


class HostFailed(Exception):
    """A host could not be started; the text has the end of its daemon's log."""


@dataclass(frozen=True)
class Place:
    """Where a host is: its name, its address, its folder, the switch and the folder that all share."""

    name: str
    address: str
    folder: Path
    switch: Namespaces
    shared: Path
    pki: Path


class Host:
    """A host. What happens at once is done on return; what takes a moment is awaited.

    Parameters
    ----------
    place
        Where it is.
    authority
        Signs its certificate.
    """

    def __init__(self, place: Place, authority: Authority) -> None:
        self.place = place
        self.authority = authority
        self.uuid = str(uuid4())
        self._namespaces = Namespaces(place.folder / "log" / "init.log")
        self._daemon: int | None = None
        self._write_folders()

    @property
    def name(self) -> str:
        """Its name, on the switch too."""
        return self.place.name

    @property
    def address(self) -> str:
        """Its address on the switch."""
        return self.place.address

    @property
    def uri(self) -> str:
        """Its daemon by unix socket: works also while the cable is cut."""
        return f"qemu+unix:///system?socket={self._socket}"

    @property
    def tls_uri(self) -> str:
        """Its daemon over the network, with the certificates of the lab."""
        return self.tls_uri_with(self.place.pki)

    def tls_uri_with(self, pki: Path) -> str:
        """Return the URI of its daemon over the network, with the certificates in a folder."""
        return f"qemu+tls://{self.address}/system?pkipath={pki}"

    # --- the whole host ---

    async def start(self, *, stale: bool = False) -> None:
        """Switch it on, with the disks that it has.

        Parameters
        ----------
        stale
            Its /run is on a disk too: sockets and process ids of before are still there.

        Raises
        ------
        HostFailed
            Its daemon does not listen.
        """
        try:
            await asyncio.to_thread(self._boot, stale)
        except NamespacesFailed as error:
            raise HostFailed(f"The host {self.name} does not start: {error}") from None
        await self.restart_daemon()

    def power_loss(self) -> None:
        """Pull its plug: no process says goodbye, to nobody; disks stay as they are."""
        self.cut()
        self._namespaces.end()
        self._daemon = None

    def end(self) -> None:
        """Remove it; no error where it is off."""
        self._namespaces.end()

    # --- its cable ---

    def cut(self) -> None:
        """Cut its cable: what is sent gets lost, silently."""
        self.place.switch.inside("ip", "link", "set", self.name, "down")

    def mend(self) -> None:
        """Plug its cable in again."""
        self.place.switch.inside("ip", "link", "set", self.name, "up")

    # --- its daemon ---

    def freeze(self) -> None:
        """Stop its daemon from doing anything, without ending it; machines go on."""
        self._namespaces.tell("send", self._daemon, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its daemon go on."""
        self._namespaces.tell("send", self._daemon, signal.SIGCONT)

    def kill_daemon(self) -> None:
        """Kill its daemon; machines go on."""
        self._namespaces.tell("send", self._daemon, signal.SIGKILL)
        self._daemon = None

    async def end_daemon(self) -> None:
        """Tell its daemon to end, and wait until it did; machines go on."""
        pid, self._daemon = self._daemon, None
        self._namespaces.tell("send", pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        while self._namespaces.tell("alive", pid):
            if time.monotonic() > deadline:
                raise HostFailed(f"The daemon of {self.name} does not end.")
            await asyncio.sleep(0.02)

    async def restart_daemon(self) -> None:
        """Start its daemon, after ending the one that runs, and wait until it answers."""
        if self._daemon is not None:
            self.kill_daemon()
        self._daemon = self._spawn("libvirtd", "--listen")
        deadline = time.monotonic() + _PATIENCE
        while not self._listens():
            if time.monotonic() > deadline or not self._namespaces.tell("alive", self._daemon):
                log = (self.place.folder / "log" / "libvirtd.log").read_text(errors="replace")
                raise HostFailed(f"The daemon of {self.name} does not listen. Its log ends:\n{log[-2000:]}")
            await asyncio.sleep(0.02)

    def certify(self, valid: timedelta) -> None:
        """Give it a certificate that is valid so long; its daemon shows it after a restart."""
        self.authority.write_server(self.place.folder / "etc" / "pki", self.name, self.address, valid)

    # --- its machines ---

    def machine_pids(self) -> dict[str, int]:
        """Return the process ids of the machines that run, by the domain's name, as the host sees them."""
        files = (self.place.folder / "run" / "qemu").glob("*.pid")
        # The daemon's own is there too.
        return {file.stem: int(file.read_text()) for file in files if file.stem != "driver"}

    def kill_machine(self, domain: str) -> None:
        """Kill the QEMU of a running domain."""
        self._namespaces.tell("send", self.machine_pids()[domain], signal.SIGKILL)

    def inside(self, *command: str) -> str:
        """Run a command of the machine in the host's network namespace and return what it wrote."""
        return self._namespaces.inside(*command)

    # --- how ---

    @property
    def _socket(self) -> Path:
        return self.place.folder / "run" / "libvirt-sock"

    def _write_folders(self) -> None:
        for name in ("run", "etc", "lib", "cache", "log"):
            (self.place.folder / name).mkdir(parents=True)
        etc, lib = self.place.folder / "etc", self.place.folder / "lib"
        shutil.copytree(_FILTERS, etc / "nwfilter")
        if _KNOWN_EMULATORS.exists():
            # Else each daemon would ask every emulator what it can do.
            shutil.copytree(_KNOWN_EMULATORS, self.place.folder / "cache", dirs_exist_ok=True)
        (etc / "libvirtd.conf").write_text(_DAEMON.format(address=self.address, uuid=self.uuid))
        (etc / "qemu.conf").write_text(_QEMU.format(address=self.address))
        self.authority.write_server(etc / "pki", self.name, self.address)
        self.authority.write_qemu(etc / "pki-qemu", self.name, self.address)
        for name in ("dnsmasq", "qemu", "shared"):
            (lib / name).mkdir()
        if os.geteuid() == 0:
            for theirs in (lib / "qemu", *(etc / "pki-qemu").iterdir()):
                shutil.chown(theirs, _ACCOUNT, _ACCOUNT)

    def _boot(self, stale: bool) -> None:
        folder = self.place.folder
        if not stale:
            shutil.rmtree(folder / "run")
            (folder / "run").mkdir()
        self._namespaces.make()
        # In this order: the shared folder lies in another.
        binds = {
            "run": "/run/libvirt",
            "etc": "/etc/libvirt",
            "lib": "/var/lib/libvirt",
            "cache": "/var/cache/libvirt",
            "log": "/var/log/libvirt",
        }
        self._namespaces.tell(
            "prepare",
            [
                *((str(folder / name), target) for name, target in binds.items()),
                (str(self.place.shared), SHARED),
            ],
        )
        self._plug_in()
        self._spawn("virtlogd")

    def _plug_in(self) -> None:
        switch = self.place.switch
        with contextlib.suppress(NamespacesFailed):  # the end of a cable whose host lost power goes by itself
            switch.inside("ip", "link", "delete", self.name)
        # The card is the same after a loss of power: neighbours go on to use what they know.
        mac = ":".join(["02", "00", *(f"{int(part):02x}" for part in self.address.split("."))])
        peer = ("peer", "name", "eth0", "address", mac, "netns", str(self._namespaces.pid))
        switch.inside("ip", "link", "add", self.name, "type", "veth", *peer)
        switch.inside("ip", "link", "set", self.name, "master", "switch", "up")
        # Its card is in a bridge, as on a host whose machines are in its own network.
        self.inside("ip", "link", "add", BRIDGE, "address", mac, "type", "bridge")
        self.inside("ip", "link", "set", "eth0", "master", BRIDGE)
        self.inside("ip", "address", "add", f"{self.address}/24", "dev", BRIDGE)
        for link in ("lo", "eth0", BRIDGE):
            self.inside("ip", "link", "set", link, "up")
        run("nsenter", "--target", str(self._namespaces.pid), "--uts", "hostname", self.name)

    def _spawn(self, daemon: str, *arguments: str) -> int:
        log = f"/var/log/libvirt/{daemon}.log"
        pid: int = self._namespaces.tell("spawn", [f"/usr/sbin/{daemon}", *arguments], log)
        return pid

    def _listens(self) -> bool:
        """Whether both doors are open: the daemon opens the network's after the socket."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self._socket))
            return f"{self.address}:16514" in self.inside("ss", "--listening", "--tcp", "--numeric")
        return False
