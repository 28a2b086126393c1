"""A physicist's machine on one of two hosts, moved to the other one while its kernel runs."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deployment.settings import Settings
from tests.e2e.conftest import running
from tests.e2e.installation import Installation, until
from tests.e2e.person import API, Person
from tests.lab.hosts import hosts
from tests.lab.hosts.host import BRIDGE
from tests.lab.hosts.namespaces import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.hosts import Host

pytestmark = pytest.mark.machines

SUBNET, GATEWAY = "10.103.0.0/24", "10.103.0.1/24"

CONFIG = """
load_subconfig({base!r})
c = get_config()
c.CernVMController.hosts = [{{"name": "alpha", "uris": [{alpha!r}], "acceleration": "qemu"}}]
c.CernVMController.network_mode = "bridge"
c.CernVMController.bridge = {bridge!r}
c.CernVMController.credentials_dir = {credentials!r}
"""


class OnTwoHosts(Installation):
    """An installation with a host of the lab, beside one that can be attached."""

    def __init__(self, folder: Path, alpha: Host, beta: Host) -> None:
        super().__init__(folder)
        self.alpha, self.beta = alpha, beta
        self.variables |= {"PORT": "18900", "HUB_NAME": "cernvmmove", "SUBNET": SUBNET}
        self.settings = Settings.from_environment(self.variables)

    def configure(self) -> None:
        """Have one host of the lab, and the key to the other one."""
        shutil.copytree(self.alpha.place.pki, self.folder / "credentials" / "lab")
        Path(self.variables["CONTROLLER_CONFIG"]).write_text(
            CONFIG.format(
                base=str(Path(__file__).parents[2] / "controller_config.py"),
                alpha=self.alpha.tls_uri,
                bridge=BRIDGE,
                credentials=str(self.folder / "credentials"),
            )
        )


@pytest.fixture(scope="module")
def site() -> Iterator[OnTwoHosts]:
    """A running hub on a host of the lab, whose machines are in the network that all hosts share."""
    folder = Path(tempfile.mkdtemp(prefix="cernvmhub-e2e-"))
    with asyncio.Runner() as runner:
        lab = hosts(2)
        alpha, beta = runner.run(lab.__aenter__())
        try:
            number = alpha.place.folder.parent.name.rpartition("-")[2]
            run("ip", "address", "add", GATEWAY, "dev", f"lab{number}")
            made = OnTwoHosts(folder, alpha, beta)
            running.append(made)
            made.configure()
            made.start()
            try:
                yield made
            finally:
                made.interrupt()
                running.remove(made)
        finally:
            runner.run(lab.__aexit__(None, None, None))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def user(site: OnTwoHosts) -> Iterator[Person]:
    with Person(site.settings.url, "physicist", site.accounts["physicist"]) as person:
        yield person


@pytest.fixture(scope="module")
def administrator(site: OnTwoHosts) -> Iterator[Person]:
    with Person(site.settings.url, "admin", site.accounts["admin"]) as person:
        yield person


class TestMoving:
    """The steps of one story, in their order."""

    kernel = ""

    def test_a_server_starts_on_the_first_host(self, user: Person) -> None:
        user.start({})
        user.progress()
        machine = user.machine()
        assert (machine["host"], machine["status"]) == ("alpha", "running")
        type(self).kernel = user.kernel()
        user.execute(self.kernel, "mass = 125.2")
        user.save("result.txt", "m(H) = 125.2 GeV\n")

    def test_a_second_host_is_attached(self, site: OnTwoHosts, administrator: Person) -> None:
        body = {
            "name": "beta",
            "uris": [f"qemu+tls://{site.beta.address}/system"],
            "credentials": "lab",
            "acceleration": "qemu",
        }
        answer = administrator.http.post(f"{API}/hosts", json=body)
        assert answer.is_success, answer.text
        assert (answer.json()["alive"], answer.json()["level"]) == (True, "notebook")

    def test_only_an_administrator_moves(self, user: Person) -> None:
        answer = user.http.post(f"{API}/machines/{user.machine()['id']}/move", json={"host": "beta"})
        assert answer.status_code == 403, answer.text
        assert "move" not in user.machine()["actions"]

    def test_the_first_host_is_drained_and_the_kernel_notices_nothing(
        self, site: OnTwoHosts, user: Person, administrator: Person
    ) -> None:
        machine = user.machine()
        answer = administrator.http.post(f"{API}/hosts/alpha/drain", json={})
        assert answer.is_success, answer.text
        operation = answer.json()["id"]

        def ended() -> str:
            found = administrator.http.get(f"{API}/operations/{operation}").json()
            return "" if found["status"] == "running" else str(found)

        said = until(ended, 300, "the host is drained")
        assert "'status': 'succeeded'" in said, said
        moved = user.machine()
        assert (moved["host"], moved["address"], moved["id"]) == ("beta", machine["address"], machine["id"])
        assert site.alpha.machine_pids() == {}
        assert user.execute(self.kernel, "print(mass)") == "125.2\n"
        assert user.read("result.txt") == "m(H) = 125.2 GeV\n"
        assert user.server() is not None

    def test_the_server_stops_and_starts_on_the_second_host_with_its_home(self, user: Person) -> None:
        user.stop()
        user.start({})
        user.progress()
        assert user.machine()["host"] == "beta"
        assert user.read("result.txt") == "m(H) = 125.2 GeV\n"
        user.stop()
