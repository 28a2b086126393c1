"""Marked secrets go through a real controller and a real machine; then they are looked for everywhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import libvirt
import pytest

from cernvmapi.models import API_PREFIX
from cernvmcontroller.commands.clean import Clean

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.machines

BUILD = Path(__file__).parents[2] / "appliance" / "build"
HUB = "hostile"
HUB_TOKEN = "PLANTED-hub-token-2f7b1c9e5d3a4086"
SERVICE_TOKEN = "PLANTED-service-token-81c4"
IN_THE_ENVIRONMENT = "PLANTED-in-the-environment-77aa"
IN_A_FILE = "PLANTED-in-a-file-90fe"
MARK = b"PLANTED-"
SESSION = {
    "env": {"JUPYTERHUB_API_TOKEN": IN_THE_ENVIRONMENT},
    "files": [{"path": "/run/cernvmhub/key", "content": IN_A_FILE}],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def appliance(folder: Path) -> str:
    """Return the manifest of a tiny guest that gets a seed, as the default appliance does."""
    built = subprocess.run(
        [sys.executable, str(BUILD), "tiny"], check=True, stdout=subprocess.PIPE, text=True
    )
    manifest = Path(built.stdout.strip())
    said = json.loads(manifest.read_text())
    (folder / said["file"]).symlink_to(manifest.parent / said["file"])
    made = folder / "manifest.json"
    made.write_text(json.dumps(said | {"context": ["nocloud"]}))
    return str(made)


class Program:
    """A controller as a process of its own, on this machine's libvirt."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "controller.log"
        tiny, port = appliance(folder), free_port()
        self.options: dict[str, Any] = {
            "state_dir": str(folder / "state"),
            "hub_name": HUB,
            "subnet": "10.105.0.0/24",
            "appliances": [tiny],
            "default_appliance": "tiny",
            "flavors": [{"id": "tiny", "title": "Tiny", "vcpus": 1, "memory_mib": 128, "disk_mib": 64}],
            "home_mib": 64,
            "hosts": [{"name": "here", "uris": ["qemu:///system"], "acceleration": "qemu"}],
        }
        asyncio.run(Clean(**self.options).run())
        state = folder / "state"
        state.mkdir(exist_ok=True)
        (state / "hub_token").write_text(HUB_TOKEN)
        (state / "hub_token").chmod(0o600)
        lines = [f"c.CernVMController.{name} = {value!r}" for name, value in self.options.items()]
        lines.append(f"c.CernVMController.bind_url = 'http://127.0.0.1:{port}'")
        (folder / "controller_config.py").write_text("\n".join(lines))
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}{API_PREFIX}",
            headers={"Authorization": f"Bearer {HUB_TOKEN}"},
            trust_env=False,
            timeout=60,
        )

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cernvmcontroller.app", "--log-level=DEBUG"],
                cwd=self.folder,
                env=os.environ
                | {
                    "PYTHONFAULTHANDLER": "1",
                    "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
                    "JUPYTERHUB_CLIENT_ID": "service-cernvm",
                    "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
                    "JUPYTERHUB_SERVICE_PREFIX": "/services/cernvm/",
                },
                stdout=log,
                stderr=log,
            )
        self.until(lambda: self.answers("/machines"), "the controller answers", 60)

    def answers(self, path: str) -> bool:
        try:
            return self.http.get(path).is_success
        except httpx.TransportError:
            return False

    def until(self, condition: Any, what: str, seconds: float = 180) -> Any:
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"{what}\n{self.log.read_text()}"
            time.sleep(0.1)
        return value

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.http.close()
        asyncio.run(Clean(**self.options).run())


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


def processes(own: set[int]) -> Iterator[tuple[str, bytes]]:
    """Return what everybody can read of all processes, and the environments of all but those named."""
    for entry in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline",) if int(entry.name) in own else ("cmdline", "environ"):
            try:
                yield f"{entry}/{name}", (entry / name).read_bytes()
            except OSError:
                continue  # it ended


def libvirts(connection: Any) -> Iterator[tuple[str, bytes]]:
    """Return all that libvirt and QEMU keep of our machines.

    Their disks and homes too, though these are a guest's own: it could write there what it likes, and the
    tiny one writes nothing.
    """
    for domain in connection.listAllDomains():
        if domain.name().startswith(HUB):
            for flags in (0, libvirt.VIR_DOMAIN_XML_SECURE, libvirt.VIR_DOMAIN_XML_INACTIVE):
                yield f"XML of {domain.name()}", domain.XMLDesc(flags).encode()
            log = Path(f"/var/log/libvirt/qemu/{domain.name()}.log")
            yield str(log), log.read_bytes()
    pool = connection.storagePoolLookupByName(HUB)
    for volume in pool.listAllVolumes():
        yield volume.name(), Path(volume.path()).read_bytes()


def answers(http: httpx.Client, machine: str) -> Iterator[tuple[str, bytes]]:
    for path in (
        "/machines", f"/machines/{machine}", f"/machines/{machine}/console", "/operations", "/volumes",
        "/audit",
        "/hosts", "/pools", "/networks", "/health", "/metrics", "/openapi.json", "/appliances",
    ):  # fmt: skip
        answer = http.get(path)
        assert answer.is_success, path
        yield path, answer.content
    with http.stream("GET", "/events", params={"after": 0}) as stream:
        heard = b""
        for chunk in stream.iter_bytes():
            heard += chunk
            if b": still here" in heard or b"machine" in heard:
                break
        yield "/events", heard


def test_a_planted_secret_is_found_nowhere(program: Program, tmp_path: Path) -> None:
    http = program.http
    asked = {"owner": "alice", "notebook": True, "server_name": "", "home": True}
    made = http.post("/machines", json=asked)
    assert made.status_code == 201, made.text
    machine = made.json()["id"]
    begun = http.post(f"/machines/{machine}/start", json={"session": SESSION})
    assert begun.status_code == 202, begun.text
    program.until(lambda: http.get(f"/machines/{machine}").json()["status"] == "running", "the machine runs")
    places = dict(answers(http, machine))
    connection = libvirt.open("qemu:///system")
    places |= dict(libvirts(connection))
    connection.close()
    for kind in ("disk-", "home-", "base-", "seed-", "XML of ", "/var/log/libvirt"):
        assert any(name.startswith(kind) for name in places), kind
    pid = program.process.pid
    # The controller's own environment has its own token for the hub, by JupyterHub's contract; no machine's.
    own = Path(f"/proc/{pid}/environ").read_bytes()
    assert own.count(MARK) == 1
    assert SERVICE_TOKEN.encode() in own
    places |= dict(processes({pid}))
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]

    # It crashes: the traceback names functions and no values, and its memory is written nowhere.
    program.process.send_signal(signal.SIGABRT)
    program.process.wait(30)
    assert "Fatal Python error: Aborted" in program.log.read_text()
    for file in tmp_path.rglob("*"):
        assert not file.name.startswith("core"), file
        if file.is_file() and file.name not in {"hub_token", "controller_config.py"}:
            places[str(file)] = file.read_bytes()
    assert any("controller.sqlite" in name for name in places)
    assert "controller.log" in " ".join(places)
    found = [name for name, content in places.items() if MARK in content]
    assert found == []
    # The search itself finds what is there.
    assert MARK in json.dumps(SESSION).encode()
    program.start()  # so that what it made can be cleaned in order
