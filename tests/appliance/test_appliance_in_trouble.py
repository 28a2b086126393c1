"""The default appliance with a wrong clock, full disks and each kind of context."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from certipy import Certipy
from tests.appliance.guest import DEADLINE, MAC, Guest, make_disk

from cernvmapi.models import Session, SessionFile
from cernvmcontroller.context import NetworkIdentity, compose, seed_image
from cernvmcontroller.guests.knock import Stranger, knock

pytestmark = pytest.mark.machines

ADDRESS = "10.0.2.78"
HOME = {"serial": "home", "mount": "/home/cernvm"}
TOKEN = "a-token-of-this-test"

SHELL = """
import http.server, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        command = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        answer = (done.stdout + done.stderr).strip().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_GET = do_POST
http.server.HTTPServer(("", 8888), Handler).serve_forever()
"""
"""Runs what it is sent."""


def run(guest: Guest, command: str) -> str:
    return httpx.post(f"http://127.0.0.1:{guest.port}/", content=command, timeout=DEADLINE).text


@pytest.fixture
def boot(guests, appliance, layer, tmp_path):
    """Boot with a context that the controller made, in one dialect, and a clock that is a day late."""

    def boot(dialect: str) -> Guest:
        network = NetworkIdentity(MAC, ADDRESS, 24, "10.0.2.2", ("10.0.2.3",))
        context = compose(machine_id=f"m-{dialect}", network=network, site={"timezone": "Europe/Zurich"})
        seed = tmp_path / f"{dialect}.iso"
        seed.write_bytes(seed_image(context, [dialect]))
        size = json.loads(appliance.with_name("manifest.json").read_text())["virtual_size_mib"]
        yesterday = datetime.now(UTC) - timedelta(days=1)
        guest = Guest(
            tmp_path / dialect,
            make_disk(tmp_path / f"{dialect}.qcow2", f"{size}M", appliance),
            memory_mib=1024,
            home=make_disk(tmp_path / f"{dialect}-home", "64M"),
            layer=layer,
            seed=seed,
            address=ADDRESS,
            rtc=yesterday.strftime("%Y-%m-%dT%H:%M:%S"),
        )
        guests.append(guest)
        guest.hear("hello")
        guest.say("welcome", protocol=1, time=time.time())
        guest.session("s-1", ["python3", "-c", SHELL], home=HOME, wait_for_context=True)
        guest.hear("ready")
        return guest

    return boot


TLS = """
import http.server, os, ssl
server = http.server.HTTPServer(("", 8888), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ["JUPYTERHUB_SSL_CERTFILE"], os.environ["JUPYTERHUB_SSL_KEYFILE"])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
"""Serves with the certificate that it is given."""


@pytest.mark.parametrize("dialect", ["configdrive", "nocloud"])
def test_a_guest_gets_its_context_and_the_time_and_lives_with_trouble(boot, dialect, tmp_path):
    guest = boot(dialect)
    result = json.loads(run(guest, "cat /run/cloud-init/result.json"))["v1"]
    assert {"configdrive": "ConfigDrive", "nocloud": "NoCloud"}[dialect] in result["datasource"]
    assert result["errors"] == []
    query = "sudo cloud-init query -f '{{v1.instance_id}} {{v1.local_hostname}}'"
    assert run(guest, query) == f"m-{dialect} m-{dialect}"
    assert run(guest, "hostname; cat /etc/timezone").split() == [f"m-{dialect}", "Europe/Zurich"]
    assert f" {ADDRESS}/24 " in run(guest, "ip -o -4 address show scope global")
    assert "10.0.2.3" in run(guest, "cat /etc/systemd/network/10-cloud-init-*")

    # The clock was a day late before the agent was told the time; and after a pause it is told again.
    assert abs(float(run(guest, "date +%s")) - time.time()) < 60
    run(guest, "sudo date -s '1 day ago'")
    assert time.time() - float(run(guest, "date +%s")) > 80_000
    guest.say("clock", id=7, time=time.time())
    assert guest.hear("reply") == {"type": "reply", "id": 7, "ok": True}
    assert abs(float(run(guest, "date +%s")) - time.time()) < 60
    if dialect == "nocloud":
        look_at_the_certificate(guest, tmp_path)
    else:
        fill_the_disks(guest)


def look_at_the_certificate(guest: Guest, folder: Path) -> None:
    """See from outside whether a server shows the certificate that the session has."""
    store = Certipy(store_dir=str(folder / "tls"))
    store.create_ca("ca")
    own, other = (store.create_signed_pair(name, "ca")["files"] for name in ("own", "other"))
    place, key = "/run/cernvmhub/cert.pem", "/run/cernvmhub/key.pem"
    env = {"JUPYTERHUB_SSL_CERTFILE": place, "JUPYTERHUB_SSL_KEYFILE": key}
    files = [
        {"path": place, "content": Path(own["cert"]).read_text(), "mode": 0o400},
        {"path": key, "content": Path(own["key"]).read_text(), "mode": 0o400},
    ]
    guest.session("s-2", ["python3", "-c", TLS], home=HOME, env=env, files=files)
    guest.hear("ready")

    def looked_at(shown: str) -> None:
        session = Session(env=env, files=[SessionFile(path=place, content=Path(shown).read_text())])
        asyncio.run(knock("127.0.0.1", guest.port, session))

    looked_at(own["cert"])
    with pytest.raises(Stranger, match="another certificate"):
        looked_at(other["cert"])


def fill_the_disks(guest: Guest) -> None:
    """With the home and the machine's disk full to the last byte the server still starts."""
    for place in ("/home/cernvm", "/"):
        run(guest, f"sudo fallocate -l $(df --output=avail -B1 {place} | tail -1) {place}/full")
        run(guest, f"sudo dd if=/dev/zero of={place}/rest bs=512")
    for place in ("/home/cernvm", "/var/tmp"):
        assert "No space left" in run(guest, f"head -c 10000 /dev/zero > {place}/more")
    secret = {"path": "/run/cernvmhub/key", "content": "a key", "mode": 0o400}
    lab = ["jupyter-lab", "--no-browser", "--ip=0.0.0.0", "--port=8888"]
    guest.session("s-2", lab, home=HOME, env={"JUPYTER_TOKEN": TOKEN}, files=[secret])
    guest.hear("ready")
    answer = httpx.get(f"http://127.0.0.1:{guest.port}/lab?token={TOKEN}", timeout=DEADLINE)
    assert answer.status_code in (200, 302)
    # A server that cannot live with that fails with the reason.
    guest.session("s-3", ["sh", "-c", "echo x > /home/cernvm/needed"], home=HOME)
    failed = guest.hear("failed", failing=True)
    assert failed["reason"].endswith("The machine's disk is full. The home /home/cernvm is full.")
