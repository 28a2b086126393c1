"""The same machine without us: ``virsh create``, and its agent spoken to over libvirt's channel.

The domain is the one that the hub had defined, with a new name, a new overlay on the same base, the same
home, layer, network and address, and the same server in it. Its volumes are made before the clock starts: the
baseline has no work to do that is not QEMU's or the guest's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt
import msgspec
from lxml import etree

from bench.hubstart import USER, Start, phases
from bench.installation import BenchFailed
from cernvmspawner import certificates
from cernvmspawner.session import GUEST_CA, GUEST_CERT, GUEST_KEY, session

if TYPE_CHECKING:
    from bench.installation import Installation

CHANNEL = "org.cernvmhub.agent.0"
URI = "qemu:///system"
NAME = "cernvmbench-baseline"
OVERLAY, SEED = "bench-root.qcow2", "bench-seed.iso"
DEADLINE = 600


def virsh(*words: str) -> str:
    """Run virsh and return what it says."""
    done = subprocess.run(["virsh", "-c", URI, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailed(f"virsh {words[0]}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Baseline:
    """What is needed to make a machine of the hub again without it.

    Parameters
    ----------
    pool
        Where the volumes are.
    base
        Name of the appliance's volume.
    xml
        The domain, with our volumes in place of the machine's own.
    capacity
        Bytes of the system disk.
    session
        For the agent.
    """

    pool: str
    base: str
    xml: str
    capacity: int
    session: dict[str, Any]

    @classmethod
    def of(cls, installation: Installation, machine: dict[str, Any]) -> Baseline:
        """Take a running machine of the hub as the model; it may be deleted afterwards."""
        domain = f"{installation.settings.name}-{machine['id']}"
        root = etree.fromstring(virsh("dumpxml", "--inactive", domain).encode())
        disk = _source(root, f"disk-{machine['id']}.qcow2")
        seed = _source(root, f"seed-{machine['id']}.iso")
        pool = virsh("vol-pool", disk).strip()
        with tempfile.TemporaryDirectory() as folder:
            copy = str(Path(folder) / "seed.iso")
            virsh("vol-download", seed, copy)
            virsh("vol-create-as", pool, SEED, str(Path(copy).stat().st_size), "--format", "raw")
            virsh("vol-upload", SEED, copy, "--pool", pool)
        volume = etree.fromstring(virsh("vol-dumpxml", disk).encode())
        base = Path(str(volume.findtext("backingStore/path"))).name
        capacity = int(str(volume.findtext("capacity")))
        replaced = {disk: str(Path(disk).with_name(OVERLAY)), seed: str(Path(seed).with_name(SEED))}
        return cls(pool, base, domain_xml(root, replaced), capacity, _session(installation, machine))

    def start(self) -> Start:
        """Create the machine, wait until its server answers, and shut it down again."""
        _remove_volume(self.pool, OVERLAY)
        virsh(
            *("vol-create-as", self.pool, OVERLAY, str(self.capacity), "--format", "qcow2"),
            *("--backing-vol", self.base, "--backing-vol-format", "qcow2"),
        )
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(self.xml)
            file.flush()
            began = time.time()
            virsh("create", file.name)
            try:
                marks = [("boot", began), *converse(self.session)]
                ended = time.time()
                return Start(ended - began, phases(began, marks, ended))
            finally:
                _end()

    def remove(self) -> None:
        """Remove what was made."""
        for name in (OVERLAY, SEED):
            _remove_volume(self.pool, name)


def domain_xml(root: etree._Element, replaced: dict[str, str]) -> str:
    """Return a domain's XML with another name, other volumes, and nothing that makes it the controller's."""
    _child(root, "name").text = NAME
    _child(root, "uuid").text = str(uuid.uuid4())
    for tag in ("metadata", "title", "description"):
        for element in root.findall(tag):
            root.remove(element)
    for source in root.iterfind("devices/disk/source"):
        path = source.get("file", "")
        source.set("file", replaced.get(path, path))
    return etree.tostring(root, encoding="unicode")


def converse(held: dict[str, Any]) -> list[tuple[str, float]]:
    """Play the controller on the agent's channel until the server answers.

    Returns
    -------
    list
        Name and instant of the phases that the agent reported, as the controller would call them.
    """
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(NAME)
        stream = connection.newStream(0)
        domain.openChannel(CHANNEL, stream, 0)
        watch = threading.Timer(DEADLINE, stream.abort)
        watch.start()
        try:
            return _converse(stream, held)
        finally:
            watch.cancel()
            with contextlib.suppress(libvirt.libvirtError):  # it is closed already
                stream.abort()
    finally:
        connection.close()


def _converse(stream: Any, held: dict[str, Any]) -> list[tuple[str, float]]:
    rest, marks = b"", list[tuple[str, float]]()
    while True:
        data = stream.recv(65536)
        if not data:
            raise BenchFailed("The agent's channel was closed.")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line or b"{}")
            kind = message.get("type")
            if kind == "hello" and not marks:
                _send(stream, {"type": "welcome", "protocol": 1, "time": time.time()})
                _send(stream, held)
                marks.append(("context", time.time()))
            elif kind == "phase" and message["phase"] == "server":
                marks.append(("server", time.time()))
            elif kind == "ready":
                return marks
            elif kind in {"failed", "exited"}:
                raise BenchFailed(f"The baseline's server does not start: {message}")


def _send(stream: Any, message: dict[str, Any]) -> None:
    data = msgspec.json.encode(message) + b"\n"
    while data:
        data = data[stream.send(data) :]


def _session(installation: Installation, machine: dict[str, Any]) -> dict[str, Any]:
    """Return a session as the hub's spawner would send it."""
    settings = installation.settings
    api = f"https://{settings.gateway}:{settings.hub_port}/hub/api"
    prefix, port = f"/user/{USER}/", machine["port"]
    pair = asyncio.run(
        certificates.issue(
            str(settings.certificates),
            NAME,
            [f"IP:{machine['address']}"],
            str(settings.certificates / "notebooks-ca_trust.crt"),
        )
    )
    environment = {
        "JUPYTERHUB_API_TOKEN": installation.token,
        "JUPYTERHUB_API_URL": api,
        "JUPYTERHUB_ACTIVITY_URL": f"{api}/users/{USER}/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{USER}",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["access:servers!server={USER}/"]',
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{prefix}oauth_callback",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_SERVICE_PREFIX": prefix,
        "JUPYTERHUB_SERVICE_URL": f"https://0.0.0.0:{port}{prefix}",
        "JUPYTERHUB_SSL_CERTFILE": GUEST_CERT,
        "JUPYTERHUB_SSL_CLIENT_CA": GUEST_CA,
        "JUPYTERHUB_SSL_KEYFILE": GUEST_KEY,
        "JUPYTERHUB_USER": USER,
    }
    made = session(command=["jupyterhub-singleuser"], env=environment, port=port, certificates=pair)
    return {
        "type": "session",
        "id": 1,
        "session": "s-baseline",
        "port": port,
        "command": made.command,
        "env": made.env,
        "files": msgspec.to_builtins(made.files),
        "home": {"serial": "home", "mount": "/home/cernvm"},
        # As the controller does where the site put nothing into the context.
        "wait_for_context": False,
    }


def _source(root: etree._Element, name: str) -> str:
    for source in root.iterfind("devices/disk/source"):
        path = source.get("file", "")
        if Path(path).name == name:
            return path
    raise BenchFailed(f"The machine has no disk {name}.")


def _child(root: etree._Element, tag: str) -> etree._Element:
    found = root.find(tag)
    return etree.SubElement(root, tag) if found is None else found


def _remove_volume(pool: str, name: str) -> None:
    if name in virsh("vol-list", pool).split():
        virsh("vol-delete", name, "--pool", pool)


def _end() -> None:
    """Shut the machine down in order, for the sake of the home, or else switch it off."""
    virsh("shutdown", NAME)
    deadline = time.monotonic() + 60
    while NAME in virsh("list", "--name").split():
        if time.monotonic() > deadline:
            virsh("destroy", NAME)
        time.sleep(0.2)
