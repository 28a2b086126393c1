"""A disk that gets full under the running controller program: said, nothing lost, over when there is room."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cernvmapi import Client
from cernvmapi.errors import CernVMError
from cernvmapi.models import API_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cernvmapi.models import Health

PROGRAM = Path(sys.executable).with_name("cernvm-controller")
SECRET = "0123456789abcdef0123456789abcdef"
DEADLINE = 60


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder on a small disk of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "full-disk", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def controller(state: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """The program, without hosts, and a client with the hub's rights."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (state / "hub_token").write_text(SECRET)
    (state / "hub_token").chmod(0o600)
    config = tmp_path / "controller_config.py"
    config.write_text(
        "c = get_config()\n"
        "c.CernVMController.hosts = []\n"
        f"c.CernVMController.bind_url = 'http://127.0.0.1:{port}'\n"
    )
    hub = {"JUPYTERHUB_API_TOKEN": "none", "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api"}
    hub |= {"JUPYTERHUB_SERVICE_PREFIX": "/services/cernvm/", "JUPYTERHUB_CLIENT_ID": "service-cernvm"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, f"--config={config}", f"--state={state}"], env=os.environ | hub, stdout=log, stderr=log
        )
    with Client(f"http://127.0.0.1:{port}{API_PREFIX}", SECRET) as client:
        yield process, client
    process.terminate()
    process.wait(30)


def store(health: Health) -> tuple[str, str]:
    (found,) = [part for part in health.components if part.name == "store"]
    return found.status, found.detail


def until(client: Client, wanted: Callable[[tuple[str, str]], bool]) -> None:
    """Wait until the controller says of its database what is wanted."""
    deadline, said = time.monotonic() + DEADLINE, ("", "nothing")
    while time.monotonic() < deadline:
        try:
            said = store(client.health(details=True))
        except CernVMError as error:
            said = (error.code, error.detail)
        if wanted(said):
            return
        time.sleep(0.2)
    raise AssertionError(f"the controller goes on saying {said}")


def test_a_disk_that_gets_full_is_said_and_when_there_is_room_it_goes_on(
    controller: tuple[subprocess.Popen[bytes], Client], state: Path, tmp_path: Path
) -> None:
    process, client = controller
    until(client, lambda said: said[0] == "ok")
    hub = (state / "hub_id").read_text()
    fill(state / "somebody-elses")
    until(client, lambda said: said[0] == "down" and "disk is full" in said[1])
    assert client.machines.all() == []
    assert process.poll() is None
    (state / "somebody-elses").unlink()
    until(client, lambda said: said[0] == "ok")
    process.terminate()
    assert process.wait(30) == 0, (tmp_path / "log").read_text()
    with closing(sqlite3.connect(state / "controller.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert (state / "hub_id").read_text() == hub


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return
