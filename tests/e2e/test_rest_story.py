"""Two people, at the same time, who use nothing but the REST API."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar

import pytest
from tests.e2e.installation import until
from tests.e2e.wire import wire

if TYPE_CHECKING:
    from tests.e2e.installation import Installation
    from tests.e2e.person import Person

pytestmark = pytest.mark.machines

WHERE = """
import json, pathlib, socket, subprocess
guest = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True).stdout.strip()
print(json.dumps([socket.gethostname(), guest, str(pathlib.Path.home())]))
"""


TOKEN = "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])"
UNDER_WAY = (["boot"], ["context"], ["server"])

TOLD = (
    "The machine goes to the host local",
    "The machine is put together",
    "The machine boots",
    "(The machine (is up|reads|gets ready)|Your home is attached)",
    "The notebook server (starts|is looked for)",
)
"""What every start tells, in this order; what lasts for an instant whoever listens may miss."""

LISTED = """
from cernvmwidgets import MyMachines
print(MyMachines())
"""


class TestByRestAlone:
    """The steps of one story, in their order."""

    kernels: ClassVar[dict[str, str]] = {}
    first_machine: ClassVar[str] = ""

    def test_a_hub_that_is_killed_in_the_middle_of_a_start_leaves_nothing_of_it(
        self, installation: Installation, physicist: Person
    ) -> None:
        physicist.start({})
        # The hub answers a start after ten seconds only: a fast machine's agent is up by then.
        until(
            lambda: [machine["phase"] for machine in physicist.machines()] in UNDER_WAY,
            120,
            "the machine boots, and its server does not answer yet",
        )
        installation.kill("hub")
        until(lambda: not physicist.machines(), 90, "what was started is removed")
        assert not installation.domains()
        assert not physicist.server()

    def test_two_people_start_at_once(
        self, installation: Installation, physicist: Person, admin: Person
    ) -> None:
        physicist.start({})
        admin.start({"appliance": installation.next_appliance})
        for person in (physicist, admin):
            events = person.progress()
            percents = [event["progress"] for event in events if "progress" in event]
            assert percents == sorted(percents)
            messages = [event.get("message", "") for event in events]
            told = [said for message in messages for said in TOLD if re.match(said, message)]
            assert list(dict.fromkeys(told)) == list(TOLD), messages

    def test_each_has_a_machine_of_their_own(
        self, installation: Installation, physicist: Person, admin: Person
    ) -> None:
        mine, theirs = physicist.machine(), admin.machine()
        assert mine["id"] != theirs["id"]
        assert (mine["appliance"], theirs["appliance"]) == (
            installation.appliance,
            installation.next_appliance,
        )
        assert len(installation.domains()) == 2

    def test_a_physicist_sees_only_their_own(self, physicist: Person) -> None:
        assert {machine["owner"] for machine in physicist.machines()} == {"physicist"}

    def test_an_administrator_sees_both(self, admin: Person) -> None:
        assert {machine["owner"] for machine in admin.machines()} == {"physicist", "admin"}

    def test_options_that_do_not_exist_are_refused(self, installation: Installation, admin: Person) -> None:
        answer = admin.http.post(
            "hub/api/users/admin/servers/second", json={"user_options": {"appliance": "no-such"}}
        )
        assert answer.is_client_error or answer.is_server_error
        assert "no-such" in answer.text
        assert len(installation.domains()) == 2

    def test_code_runs_inside_the_machines(self, physicist: Person, admin: Person) -> None:
        for person in (physicist, admin):
            self.kernels[person.name] = person.kernel()
            printed = person.execute(self.kernels[person.name], WHERE)
            hostname, guest, home = json.loads(printed)
            assert hostname == person.machine()["id"]
            assert guest in {"kvm", "qemu"}
            assert home == "/home/cernvm"

    def test_the_notebook_in_the_home_lists_ones_machines(self, physicist: Person) -> None:
        notebook = physicist.notebook("GET", "contents/my-machines.ipynb").json()["content"]
        cells = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
        printed = "".join(physicist.execute(self.kernels["physicist"], cell) for cell in cells)
        machine = physicist.machine()
        assert f"{machine['name']}: running, {machine['vcpus']} CPUs" in printed
        assert "Machines: 1\n" in printed, "one's own, and nobody else's"
        assert "boot -> context: " in printed
        shown = physicist.execute(self.kernels["physicist"], LISTED)
        assert machine["name"] in shown
        assert "Running" in shown

    def test_the_notebook_servers_page_reaches_the_controller(self, physicist: Person, admin: Person) -> None:
        answer = physicist.http.get("user/physicist/cernvm/api/v1/machines")
        assert [each["id"] for each in answer.json()["items"]] == [physicist.machine()["id"]], answer.text
        answer = admin.http.get("user/admin/cernvm/api/v1/machines")
        assert {each["owner"] for each in answer.json()["items"]} == {"admin", "physicist"}, answer.text

    def test_a_kernel_is_reached_where_the_hub_has_a_name_and_tls(self, physicist: Person) -> None:
        printed = physicist.execute(self.kernels["physicist"], "print(6 * 7)", host="hub.example.org")
        assert printed == "42\n"

    def test_a_file_is_saved_and_a_variable_set(self, physicist: Person) -> None:
        physicist.save("result.txt", "m(H) = 125.2 GeV\n")
        physicist.execute(self.kernels["physicist"], "mass = 125.2")
        type(self).first_machine = physicist.machine()["id"]

    @pytest.mark.parametrize("component", ["hub", "controller", "proxy"])
    def test_what_runs_survives_the_death_of(
        self, installation: Installation, physicist: Person, component: str
    ) -> None:
        domains = installation.domains()
        installation.kill(component)
        until(lambda: _answers(physicist), 90, f"the notebook answers after the {component} was killed")
        assert physicist.execute(self.kernels["physicist"], "print(mass)").strip() == "125.2"
        server = physicist.server()
        assert server is not None
        assert server["ready"]
        assert physicist.machine()["status"] == "running"
        assert installation.domains() == domains

    def test_a_host_that_hangs_while_the_hub_is_restarted_costs_no_variable(
        self, installation: Installation, physicist: Person
    ) -> None:
        with wire(installation.relay) as host:
            installation.kill("controller")
            _power(physicist, "on")
            host.fall_silent()
            _power(physicist, "unknown")
            installation.kill("hub")
            until(lambda: _answers(physicist), 90, "the notebook answers although its host does not")
            assert physicist.execute(self.kernels["physicist"], "print(mass)").strip() == "125.2"
            server = physicist.server()
            assert server is not None
            assert server["ready"]
            host.speak()
            _power(physicist, "on")
        installation.kill("controller")
        _power(physicist, "on")
        assert physicist.machine()["id"] == self.first_machine

    def test_ctrl_c_leaves_machines_and_the_next_make_run_finds_them(
        self, installation: Installation, physicist: Person
    ) -> None:
        domains = installation.domains()
        installation.interrupt()
        assert installation.domains() == domains
        installation.start()
        until(lambda: _answers(physicist), 90, "the notebook answers after make run")
        assert physicist.execute(self.kernels["physicist"], "print(mass)").strip() == "125.2"
        assert physicist.machine()["id"] == self.first_machine

    def test_the_tokens_of_a_server_and_its_user_are_written_nowhere(
        self, installation: Installation, physicist: Person
    ) -> None:
        secrets = [physicist.execute(self.kernels["physicist"], TOKEN).strip(), physicist.token]
        assert all(len(secret) >= 32 for secret in secrets)
        places = installation.places()
        for name in ("hub.log", "controller.log", "proxy.log", "jupyterhub.sqlite", "controller.sqlite"):
            assert any(place.endswith(f"/{name}") for place in places), name
        for component in ("hub", "controller", "proxy"):
            assert f"/proc/{installation.pid(component)}/cmdline" in places
        for secret in secrets:
            assert [place for place, content in places.items() if secret.encode() in content] == []

    def test_a_hub_that_is_killed_in_the_middle_of_a_stop_finds_the_server_stopped(
        self, installation: Installation, physicist: Person
    ) -> None:
        physicist.begin_to_end()
        until(lambda: physicist.machine()["status"] == "stopping", 30, "the machine shuts down")
        installation.kill("hub")
        until(lambda: physicist.server() is None, 120, "the hub knows that the server is stopped")

    def test_a_stopped_server_leaves_only_its_home(self, installation: Installation, admin: Person) -> None:
        admin.stop()
        until(lambda: not installation.domains(), 60, "the domains are gone")
        kinds = {name.partition("-")[0] for name in installation.volumes()}
        assert kinds <= {"base", "layer", "home"}
        assert "home" in kinds

    def test_the_file_is_there_with_another_version_of_the_appliance(
        self, installation: Installation, physicist: Person
    ) -> None:
        physicist.start({"appliance": installation.next_appliance})
        physicist.progress()
        machine = physicist.machine()
        assert machine["appliance"] == installation.next_appliance
        assert machine["id"] != self.first_machine
        assert physicist.read("result.txt") == "m(H) = 125.2 GeV\n"

    def test_a_named_server_is_a_second_machine_with_a_home_of_its_own(
        self, installation: Installation, physicist: Person
    ) -> None:
        physicist.start({}, "second")
        physicist.progress("second")
        assert physicist.machine("second")["id"] != physicist.machine()["id"]
        assert len(installation.domains()) == 2
        files = [each["name"] for each in physicist.notebook("GET", "contents", "second").json()["content"]]
        assert "my-machines.ipynb" in files
        assert "result.txt" not in files, "that is in the home of the other server"

    def test_a_named_server_whose_deletion_a_killed_hub_could_not_finish_is_stopped_and_keeps_its_home(
        self, installation: Installation, physicist: Person
    ) -> None:
        physicist.begin_to_end("second", remove=True)
        until(lambda: physicist.machine("second")["status"] == "stopping", 30, "the machine shuts down")
        installation.kill("hub")
        until(lambda: physicist.server("second") is None, 120, "the hub knows that the server is stopped")
        assert physicist.knows("second")
        assert {home["server_name"] for home in physicist.homes()} == {"", "second"}
        until(lambda: len(installation.domains()) == 1, 60, "the second domain is gone")

    def test_of_a_named_server_that_is_deleted_nothing_is_left(
        self, installation: Installation, physicist: Person
    ) -> None:
        [home] = [each["name"] for each in physicist.homes() if each["server_name"] == "second"]
        assert home in installation.volumes()
        assert home in installation.known_volumes()
        physicist.remove("second")
        until(lambda: not physicist.knows("second"), 60, "the hub has forgotten the second server")
        until(
            lambda: home not in installation.volumes() | installation.known_volumes(),
            60,
            "the second home is gone from pool and database",
        )
        assert installation.rows("machines") == installation.rows("addresses") == 1
        assert physicist.read("result.txt") == "m(H) = 125.2 GeV\n", "the other server is not touched"
        physicist.stop()

    def test_after_deleting_nothing_is_left(
        self, installation: Installation, physicist: Person, admin: Person
    ) -> None:
        physicist.delete_homes()
        admin.delete_homes()
        until(lambda: not installation.domains(), 60, "the domains are gone")
        for names in (installation.volumes(), installation.known_volumes()):
            assert {name.partition("-")[0] for name in names} <= {"base", "layer"}, names
        assert physicist.machines() == []
        assert installation.rows("machines") == 0
        assert installation.rows("addresses") == 0


def _power(person: Person, wanted: str) -> None:
    """Wait until the controller says that a person's machine is on, or that nobody knows."""

    def said() -> bool:
        found = [machine for machine in person.machines() if machine["owner"] == person.name]
        return [(machine["status"], machine["power"]) for machine in found] == [("running", wanted)]

    until(said, 90, f"the machine of {person.name} is {wanted}")


def _answers(person: Person) -> bool:
    """Say whether the way through proxy and hub to the notebook server is open."""
    return person.http.get(f"user/{person.name}/api/status").is_success
