"""A whole installation, started as a person would start it, with names and ports of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt
from deployment.settings import ROOT, Settings
from deployment.supervision import serves
from supervisor.xmlrpc import SupervisorTransport

if TYPE_CHECKING:
    from collections.abc import Callable

START = 900
"""Seconds for the first start: the appliance may have to be built."""

CONTROLLER_CONFIG = """
import pathlib
load_subconfig({base!r})
c = get_config()
c.CernVMController.appliances.append({manifest!r})
if pathlib.Path({relay!r}).exists():
    c.CernVMController.hosts = [{{"name": "local", "uris": ["qemu+unix:///system?socket=" + {relay!r}]}}]
"""


def until(condition: Callable[[], Any], deadline: float, what: str) -> Any:
    """Return the condition's value as soon as there is one; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"After {deadline} s still waiting: {what}.")
        time.sleep(0.25)


class Installation:
    """Hub, proxy and controller under `make run`'s supervisor, on this machine's real libvirt.

    Parameters
    ----------
    folder
        For its state and what else it needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            "STATE": str(folder / "state"),
            "PORT": "18800",
            "HUB_NAME": "cernvmtest",
            "SUBNET": "10.81.0.0/20",
            "CONTROLLER_CONFIG": str(folder / "controller_config.py"),
        }
        self.settings = Settings.from_environment(self.variables)
        self.process: subprocess.Popen[bytes] | None = None
        self.output = folder / "run.log"
        self.relay = folder / "libvirt.sock"
        """While it exists, a controller that starts talks to libvirt through it."""
        self.appliance = ""
        self.next_appliance = ""

    # --- its life ---

    def sweep(self) -> None:
        """Remove what an earlier installation of this name left that was killed before it could clean up."""
        subprocess.run(
            [
                *(str(Path(sys.executable).with_name("cernvm-controller")), "clean"),
                f"--state={self.folder / 'sweep'}",
                f"--CernVMController.hub_name={self.settings.name}",
                f"--CernVMController.subnet={self.settings.subnet}",
            ],
            cwd=self.folder,
            check=True,
            timeout=180,
        )
        assert self.libvirt_objects() == set()

    def configure(self) -> None:
        """Offer the default appliance and, as another version of it, the same image a second time."""
        manifest = self.built("default")
        described = json.loads(manifest.read_text())
        self.appliance = described["id"]
        self.next_appliance = "next-version"
        other = self.folder / "next-version"
        other.mkdir()
        (other / described["file"]).symlink_to(manifest.parent / described["file"])
        described |= {
            "id": self.next_appliance,
            "version": f"{described['version']}-next",
            "title": "The next one",
        }
        (other / "manifest.json").write_text(json.dumps(described))
        Path(self.variables["CONTROLLER_CONFIG"]).write_text(
            CONTROLLER_CONFIG.format(
                base=str(ROOT / "controller_config.py"),
                manifest=str(other / "manifest.json"),
                relay=str(self.relay),
            )
        )

    def built(self, kind: str) -> Path:
        """Return what `appliance/build` makes, built if the cache has none."""
        command = [sys.executable, str(ROOT / "appliance" / "build"), kind]
        done = subprocess.run(
            [*command, "--cache", str(self.settings.cache)], stdout=subprocess.PIPE, text=True, check=True
        )
        return Path(done.stdout.strip())

    def start(self) -> None:
        """Do what `make run` does, and return when it says where the hub is."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "deployment.run"],
                cwd=ROOT,
                env=os.environ | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        said = self.output.stat().st_size

        def announced() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output.read_text()
            return "CernVM Hub is at" in self.output.read_text()[said:]

        until(announced, START, "make run says where the hub is")

    def interrupt(self) -> None:
        """Press Ctrl-C, and return when everything has ended."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=90) == 0

    def clean(self) -> None:
        """Do what `make clean` does."""
        subprocess.run(
            [sys.executable, "-m", "deployment.clean"],
            cwd=ROOT,
            env=os.environ | self.variables,
            check=True,
            timeout=180,
        )
        if self.process is not None:
            self.process.wait(timeout=90)

    def pid(self, component: str) -> int:
        """Return the process id of controller, proxy or hub."""
        transport = SupervisorTransport(None, None, f"unix://{self.settings.supervisor}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as rpc:
            record: Any = rpc.supervisor.getProcessInfo(component)
        transport.close()
        return int(record["pid"])

    def kill(self, component: str) -> None:
        """Kill a component the hard way, and return when the supervisor's new one answers."""
        old = self.pid(component)
        os.kill(old, signal.SIGKILL)
        until(lambda: self.pid(component) not in {0, old}, 30, f"a new {component}")
        pages = {
            "hub": "hub/health",
            "controller": "services/cernvm/api/v1/health",
            "proxy": "services/cernvm/api/v1/health",
        }
        until(lambda: serves(self.settings.url + pages[component]), 90, f"the {component} answers again")

    # --- what there is of it ---

    @property
    def accounts(self) -> dict[str, str]:
        """Names and passwords, as they were printed."""
        kept = json.loads(self.settings.accounts.read_text())
        return {account["name"]: account["password"] for account in kept["accounts"]}

    def domains(self) -> dict[str, int]:
        """Return libvirt's domains of this installation, with their state."""
        connection = libvirt.openReadOnly("qemu:///system")
        try:
            return {
                domain.name(): domain.state()[0]
                for domain in connection.listAllDomains()
                if domain.name().startswith(f"{self.settings.name}-")
            }
        finally:
            connection.close()

    def volumes(self) -> set[str]:
        """Return the names of the volumes in this installation's pools."""
        connection = libvirt.openReadOnly("qemu:///system")
        try:
            pools = [pool for pool in connection.listAllStoragePools() if self.owns(pool.name())]
            return {volume.name() for pool in pools if pool.isActive() for volume in pool.listAllVolumes()}
        finally:
            connection.close()

    def libvirt_objects(self) -> set[str]:
        """Return the names of everything of this installation that libvirt knows."""
        connection = libvirt.openReadOnly("qemu:///system")
        try:
            every = [
                *connection.listAllDomains(),
                *connection.listAllStoragePools(),
                *connection.listAllNetworks(),
                *connection.listAllNWFilters(),
            ]
            return {each.name() for each in every if self.owns(each.name())}
        finally:
            connection.close()

    def traces(self) -> set[str]:
        """Return everything of this installation that this machine has: objects, folders, devices, logs."""
        places = [
            self.settings.state,
            Path("/var/lib/libvirt") / self.settings.name,
            Path("/sys/class/net") / self.settings.bridge,
            *Path("/var/log/libvirt/qemu").glob(f"{self.settings.name}-m-*"),
        ]
        return self.libvirt_objects() | {str(place) for place in places if place.exists()}

    def owns(self, name: str) -> bool:
        """Say whether a libvirt object's name is of this installation."""
        return name == self.settings.name or name.startswith(f"{self.settings.name}-")

    def rows(self, table: str) -> int:
        """Return how many rows a table of the controller's database has."""
        return int(self._ask(f"SELECT count(*) FROM {table}")[0])

    def known_volumes(self) -> set[str]:
        """Return the names of the volumes in the controller's database."""
        return set(self._ask("SELECT name FROM volumes"))

    def _ask(self, query: str) -> list[Any]:
        """Return the first column of what the controller's database answers."""
        path = self.settings.state / "controller.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute(query)]
        finally:
            connection.close()

    def places(self) -> dict[str, bytes]:
        """Return all that it wrote, and what the system's list of processes says of all of them."""
        files = [self.output, *(file for file in self.settings.state.rglob("*") if file.is_file())]
        for process in Path("/proc").glob("[0-9]*"):
            files += [process / "cmdline", process / "environ"]
        found = {}
        for file in files:
            with contextlib.suppress(OSError):  # it ended, or was removed
                found[str(file)] = file.read_bytes()
        return found

    def logs(self) -> dict[str, str]:
        """Return the end of everything that was written."""
        files = [self.output, *sorted(self.settings.log.glob("*.log"))]
        files += sorted(Path("/var/log/libvirt/qemu").glob(f"{self.settings.name}-*.log"))
        return {
            file.name: "\n".join(file.read_text(errors="replace").splitlines()[-60:])
            for file in files
            if file.exists()
        }
