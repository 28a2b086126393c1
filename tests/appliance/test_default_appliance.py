"""The default appliance under plain QEMU: from its boot sector to a kernel's answer and off again."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import httpx
import pytest
from tests.appliance.guest import DEADLINE, MAC, Guest, make_disk, make_seed
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

pytestmark = pytest.mark.machines

TOKEN = "a-token-of-this-test"
LAB = ["jupyter-lab", "--no-browser", "--ip=0.0.0.0", "--port=8888"]
HOME = {"serial": "home", "mount": "/home/cernvm"}

STATIC = "10.0.2.77"
"""Not what QEMU's DHCP would give."""

SEED = {
    "network-config": "version: 2\nethernets:\n  machine:\n"
    f"    match: {{macaddress: '{MAC}'}}\n    addresses: [{STATIC}/24]\n"
    "    routes: [{to: 0.0.0.0/0, via: 10.0.2.2}]\n",
    "meta-data": "instance-id: i-test\nlocal-hostname: lovelace\n",
    "user-data": "#cloud-config\n"
    "write_files:\n- path: /etc/from-the-context\n  content: written\n"
    "runcmd:\n- [touch, /run/ran-from-the-context]\n",
}

LOOK = """
import json, os, socket, subprocess, sys

def run(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()

import anywidget, awkward, hist, ipywidgets, matplotlib.pyplot, mplhep, numpy, uproot
import cernvmapi, msgspec, httpx
open("thesis.txt", "w").write("kept")
print(json.dumps({
    "python": sys.executable,
    "api": cernvmapi.__file__,
    "hostname": socket.gethostname(),
    "user": run("id -un"),
    "cwd": os.getcwd(),
    "sudo": run("sudo id -un"),
    "virtualisation": run("systemd-detect-virt"),
    "passwords": run("sudo cut -d: -f2 /etc/shadow | grep -v '^[!*]' | sort -u"),
    "host keys": run("ls /etc/ssh/ssh_host_*_key 2>/dev/null"),
    "seed": run("sudo ls /var/lib/systemd/random-seed 2>/dev/null"),
    "machine-id": run("cat /etc/machine-id"),
    "archives": run("cat /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* 2>/dev/null"),
    "pip": run("cat /etc/pip.conf ~/.config/pip/pip.conf ~/.pip/pip.conf 2>/dev/null; env | grep ^PIP_"),
    "context": run("cat /etc/from-the-context; ls /run/ran-from-the-context"),
    "secret": run("stat -c '%a %U' /run/cernvmhub/ssl/key.pem; cat /run/cernvmhub/ssl/key.pem"),
    "notebooks": run("stat -c '%a %U' my-machines.ipynb"),
    "layer": run("findmnt -no FSTYPE,OPTIONS /opt/cernvmhub/layer"),
    "home": run("findmnt -no SOURCE,FSTYPE /home/cernvm"),
    "mount points": run("ls -d /cvmfs /workspace /data"),
    "which": run("which python"),
    "terminal": run("env -i HOME=$HOME bash -lc 'which python'"),
    "addresses": run("ip -o -4 address show eth0 | cut -d' ' -f7"),
    "failed units": run("systemctl --failed --no-legend --plain"),
    "log": run("cat /var/log/cernvmhub/server.log"),
    "token in processes": run("ps aux | grep -c [a]-token-of-this-test"),
    "root": run("df -BM --output=size / | tail -1"),
}))
"""


async def run_in_kernel(port: int, code: str) -> str:
    """Run code in a new kernel of a Jupyter server; return what it printed."""
    base = f"127.0.0.1:{port}"
    headers = {"Authorization": f"token {TOKEN}"}
    async with httpx.AsyncClient(base_url=f"http://{base}", headers=headers, timeout=DEADLINE) as client:
        kernel = (await client.post("/api/kernels", json={"name": "python3"})).json()["id"]
        request = HTTPRequest(
            f"ws://{base}/api/kernels/{kernel}/channels", headers=headers, request_timeout=DEADLINE
        )
        channel = await websocket_connect(request)
        try:
            return await asyncio.wait_for(_execute(channel, code), DEADLINE)
        finally:
            channel.close()
            await client.delete(f"/api/kernels/{kernel}")


async def _execute(channel: Any, code: str) -> str:
    number = uuid.uuid4().hex
    request = {
        "channel": "shell",
        "header": {
            "msg_id": number, "msg_type": "execute_request", "session": "s", "username": "", "version": "5.3"
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False},
        "buffers": [],
    }  # fmt: skip
    await channel.write_message(json.dumps(request))
    printed = ""
    while True:
        message = json.loads(await channel.read_message())
        if message["parent_header"].get("msg_id") != number:
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return printed


@pytest.fixture
def start(guests, appliance, layer, tmp_path):
    """Boot a new machine with the test's one home."""
    home = make_disk(tmp_path / "home", "2G")

    def start(name: str, seed: dict[str, str], address: str = "") -> Guest:
        image = make_seed(tmp_path / f"{name}.iso", seed)
        disk = make_disk(tmp_path / f"{name}.qcow2", "12G", appliance)
        guest = Guest(
            tmp_path / name, disk, memory_mib=1024, home=home, layer=layer, seed=image, address=address
        )
        guests.append(guest)
        assert guest.hear("hello")["state"] == "waiting"
        guest.say("welcome", protocol=1, time=time.time())
        return guest

    return start


async def test_a_session_becomes_a_notebook_server_and_the_home_outlives_the_machine(start, record_property):
    guest = start("first", SEED, STATIC)
    guest.session(
        "s-1", LAB, home=HOME, env={"JUPYTER_TOKEN": TOKEN, "PATH": "/nowhere"}, wait_for_context=True,
        files=[{"path": "/run/cernvmhub/ssl/key.pem", "content": "a key", "mode": 0o400}],
    )  # fmt: skip
    guest.hear("ready")
    seen = json.loads(await run_in_kernel(guest.port, LOOK))
    record_property("seen", seen)
    print(json.dumps(seen, indent=1), [(round(at, 1), said["type"]) for at, said in guest.heard])

    assert seen["python"] == "/opt/kernel/bin/python"
    assert seen["which"] == seen["terminal"] == "/opt/kernel/bin/python"
    assert seen["api"].startswith("/opt/cernvmhub/layer/site-packages/")
    assert seen["hostname"] == "lovelace"
    assert (seen["user"], seen["cwd"], seen["sudo"]) == ("cernvm", "/home/cernvm", "root")
    assert seen["virtualisation"] == "qemu"
    assert seen["context"] == "written/run/ran-from-the-context"
    assert seen["secret"] == "400 cernvm\na key"
    assert seen["layer"].startswith("iso9660 ro")
    assert seen["home"] == "/dev/vdb ext4"
    assert seen["notebooks"] == "644 cernvm", "to begin with"
    assert seen["mount points"].split() == ["/cvmfs", "/data", "/workspace"]

    assert seen["addresses"] == f"{STATIC}/24"

    # Nothing of another machine, and nothing to log in with.
    assert seen["passwords"] == ""
    assert seen["host keys"] == seen["seed"] == seen["pip"] == ""
    assert len(seen["machine-id"]) == 32
    assert {line.split()[1] for line in seen["archives"].splitlines() if line.startswith("deb ")} == {
        "http://deb.debian.org/debian",
        "http://deb.debian.org/debian-security",
    }
    assert "proxy" not in seen["archives"].lower()
    assert "Permission denied" in seen["log"], "the log is root's"
    assert seen["token in processes"] == "0"
    assert seen["failed units"] == ""

    assert guest.ask_qemu_guest_agent("guest-ping") == {"return": {}}

    # A controller that comes back finds what it left.
    guest.reconnect()
    guest.say("query")
    hello = guest.hear("hello")
    assert (hello["state"], hello["session"], hello["hostname"]) == ("ready", "s-1", "lovelace")
    guest.say("stop", id=2)
    assert guest.hear("reply") == {"type": "reply", "id": 2, "ok": True}
    guest.press_power_button()

    again = start("second", {"meta-data": "instance-id: i-2\n", "user-data": ""})
    # Without what the hub gives it the server ends at once, and says so.
    again.session("s-1", ["jupyterhub-singleuser"], home=HOME, env={"JUPYTERHUB_USER": "alice"})
    failed = again.hear("failed", failing=True)
    assert (failed["phase"], failed["session"]) == ("server", "s-1")
    assert "JUPYTERHUB" in failed["log_tail"]
    again.session("s-2", ["python3", "-m", "http.server", "8888", "--directory", "/"], home=HOME)
    again.hear("ready")
    async with httpx.AsyncClient(timeout=DEADLINE) as client:
        files = f"http://127.0.0.1:{again.port}"
        assert (await client.get(f"{files}{HOME['mount']}/thesis.txt")).text == "kept"
        its_id = (await client.get(f"{files}/etc/machine-id")).text.strip()
    assert len(its_id) == 32
    assert its_id != seen["machine-id"], "each machine makes its own id"
    again.press_power_button()
