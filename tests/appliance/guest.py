"""A guest under plain QEMU, with the test as its controller."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pycdlib

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE = 400.0
"""Seconds for anything that a guest is waited for; emulated, on a busy machine."""


def make_seed(path: Path, files: dict[str, str]) -> Path:
    """Make a NoCloud seed."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident="cidata", joliet=3)
    sources = []
    for number, (name, text) in enumerate(files.items()):
        source = path.with_name(f"{path.name}.{number}")
        source.write_text(text)
        iso.add_file(str(source), f"/F{number}.;1", rr_name=name, joliet_path=f"/{name}")
        sources.append(source)
    iso.write(str(path))
    iso.close()
    for source in sources:
        source.unlink()
    return path


def make_disk(path: Path, size: str, backing: Path | None = None) -> Path:
    options = ["-b", backing, "-F", "qcow2"] if backing else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, size], check=True)
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


MAC = "52:54:00:c0:ff:ee"


class Guest:
    """A machine that plain QEMU emulates, without libvirt: the image boots by itself."""

    def __init__(
        self,
        folder: Path,
        disk: Path,
        *,
        memory_mib: int,
        home: Path | None = None,
        layer: Path | None = None,
        seed: Path | None = None,
        address: str = "",
        rtc: str = "utc",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        self.heard: list[tuple[float, dict[str, Any]]] = []
        """What the agent said, and after how many seconds."""
        drives = [
            (disk, "qcow2", "root", "off"),
            (home, "qcow2", "home", "off"),
            (layer, "raw", "layer", "on"),
        ]
        words: list[Any] = []
        for path, form, serial, read_only in drives:
            if path is not None:
                words += [
                    "-drive",
                    f"file={path},format={form},if=none,id={serial},readonly={read_only},cache=unsafe",
                ]
                words += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
        if seed is not None:
            words += ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=seed"]
            words += ["-drive", f"file={seed},format=raw,if=none,id=seed,media=cdrom,readonly=on"]
        self.began = time.monotonic()
        self._log = (folder / "qemu.log").open("w")
        self._process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "1",
                "-m", str(memory_mib), "-rtc", f"base={rtc}", "-display", "none", "-nodefaults", "-no-reboot",
                "-serial", f"file:{folder / 'console'}", *words,
                "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=agent,path={folder / 'agent'},server=on,wait=off",
                "-device", "virtserialport,chardev=agent,name=org.cernvmhub.agent.0",
                "-chardev", f"socket,id=qga,path={folder / 'qga'},server=on,wait=off",
                "-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0",
                "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-{address}:8888",
                "-device", f"virtio-net-pci,netdev=net,mac={MAC}",
                "-monitor", f"unix:{folder / 'monitor'},server=on,wait=off",
            ],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self._agent = self._connect("agent")
        self._lines = self._agent.makefile("rb")

    @property
    def console(self) -> str:
        """What it wrote to its serial console."""
        return (self._folder / "console").read_text(errors="replace")

    def say(self, kind: str, **fields: Any) -> None:
        self._agent.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def hear(self, kind: str, *, failing: bool = False) -> dict[str, Any]:
        """Wait for a message of a type; a failure that was not asked for is one."""
        self._agent.settimeout(DEADLINE)
        while line := self._lines.readline():
            message: dict[str, Any] = json.loads(line)
            self.heard.append((time.monotonic() - self.began, message))
            assert failing or message["type"] not in {"failed", "exited"}, message
            if message["type"] == kind:
                return message
        raise AssertionError(f"the guest ended: {self.console[-3000:]}")

    def session(self, name: str, command: list[str], **fields: Any) -> None:
        """Send a session."""
        given = {
            "id": 1, "session": name, "port": 8888, "command": command, "env": {}, "files": [], "home": None,
            "wait_for_context": False,
        }  # fmt: skip
        self.say("session", **given | fields)

    def reconnect(self) -> None:
        """Be another controller."""
        self._lines.close()
        self._agent.close()
        self._agent = self._connect("agent")
        self._lines = self._agent.makefile("rb")

    def ask_qemu_guest_agent(self, command: str) -> dict[str, Any]:
        """Give a command to QEMU's guest agent and return its answer (docs/interop/qemu-ga-ref of QEMU)."""
        with self._connect("qga") as peer, peer.makefile("rb") as lines:
            peer.settimeout(DEADLINE)
            peer.sendall(json.dumps({"execute": command}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer

    def press_power_button(self) -> None:
        with self._connect("monitor") as monitor:
            monitor.sendall(b"system_powerdown\n")
            self._process.wait(120)

    def close(self) -> None:
        self._lines.close()
        self._agent.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._log.close()

    def _connect(self, name: str) -> socket.socket:
        end = time.monotonic() + 30
        while True:
            peer = socket.socket(socket.AF_UNIX)
            with suppress(FileNotFoundError, ConnectionRefusedError):
                peer.connect(str(self._folder / name))
                return peer
            peer.close()
            assert self._process.poll() is None, (self._folder / "qemu.log").read_text()
            assert time.monotonic() < end
