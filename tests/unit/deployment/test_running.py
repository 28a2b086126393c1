"""`make run` says clearly why it does not start."""

from __future__ import annotations

import configparser
import dataclasses
import errno
import os
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest
from deployment import clean, component, debian, lock, run, supervision
from deployment.settings import ROOT, Settings, SettingsError

from cernvmcontroller.statedir import take_lock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return Settings.from_environment({"STATE": str(state), "PORT": "28440", "HUB_NAME": "cernvmunit"})


def test_a_second_one_is_refused_and_told_how_to_be_a_second_one(settings: Settings) -> None:
    with (
        lock.take(lock.of_state(settings)),
        pytest.raises(run.CannotRun, match=r"runs already(.|\n)*make run STATE="),
    ):
        run.run(settings)


def test_another_state_with_the_same_name_is_refused(settings: Settings) -> None:
    with lock.take(lock.of_name(settings)), pytest.raises(run.CannotRun, match="runs already"):
        run.run(settings)
    lock.of_name(settings).unlink()


def test_a_lock_names_its_holder(settings: Settings) -> None:
    with lock.take(lock.of_state(settings)), pytest.raises(lock.RunsAlready) as caught:
        lock.take(lock.of_state(settings))
    assert caught.value.pid == os.getpid()


def test_a_lock_is_free_when_its_holder_has_ended(settings: Settings) -> None:
    lock.take(lock.of_state(settings)).close()
    lock.take(lock.of_state(settings)).close()


def test_what_a_power_loss_left_blocks_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks, process ids that are other processes' by now, and a socket that nobody listens on."""
    others = f"{os.getppid()}\n"
    for left in (lock.of_state(settings), lock.of_name(settings), settings.state / "controller.lock"):
        left.write_text(others)
    (settings.state / "supervisor.pid").write_text(others)
    (settings.state / "supervisord.pid").write_text(others)
    (settings.state / "supervisord.conf").write_text("[superv")
    settings.log.mkdir()
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(settings.supervisor))
    monkeypatch.setattr(supervision, "PROGRAM", _STANDS_FOR_A_COMPONENT)
    supervisor = supervision.Supervisor(settings)
    with lock.take(lock.of_state(settings)), lock.take(lock.of_name(settings)):
        take_lock(settings.state / "controller.lock").close()
        supervisor.start()
        try:
            deadline = time.monotonic() + 30
            while not (found := supervisor.components()):
                assert supervisor.process is not None
                assert supervisor.process.poll() is None, "the supervisor ended"
                assert time.monotonic() < deadline, "the supervisor does not answer"
                time.sleep(0.05)
            assert set(found) == set(component.COMPONENTS)
        finally:
            supervisor.stop()
    lock.of_name(settings).unlink()


_STANDS_FOR_A_COMPONENT = """
[program:{component}]
command = sleep 600
priority = {priority}
stdout_logfile = {log}/{component}.log
"""


def test_a_lock_of_another_account_is_not_taken_for_a_running_deployment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> int:
        raise PermissionError

    lock.of_state(settings).touch()
    monkeypatch.setattr(lock.os, "open", refused)
    monkeypatch.setattr(lock.Path, "owner", lambda _path: "alice")
    with pytest.raises(SettingsError, match=r"run\.lock belongs to alice(.|\n)*may remove the file"):
        lock.take(lock.of_state(settings))


def test_a_taken_port_is_named_with_the_way_out(settings: Settings) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", settings.controller_port))
        other.listen()
        with pytest.raises(run.CannotRun, match=r"Port 28444 on 127.0.0.1 is taken(.|\n)*make run PORT="):
            run.refuse_taken_ports(settings)


def test_free_ports_are_no_problem(settings: Settings) -> None:
    run.refuse_taken_ports(settings)


def test_the_supervisors_configuration_has_every_component_in_order(settings: Settings) -> None:
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parsed.read_string(supervision.configuration(settings))
    priorities = {name: int(parsed[f"program:{name}"]["priority"]) for name in ("controller", "proxy", "hub")}
    assert priorities["controller"] < priorities["proxy"] < priorities["hub"]
    assert all(parsed[f"program:{name}"]["autorestart"] == "true" for name in priorities)


def test_cleaning_a_folder_that_is_not_ours_removes_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.state / "thesis.tex").write_text("irreplaceable")
    assert clean.clean(settings) == 0
    assert (settings.state / "thesis.tex").exists()
    assert "no state of CernVM Hub" in capsys.readouterr().out


def test_cleaning_removes_libvirts_logs_of_our_machines_and_no_others(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "qemu"
    monkeypatch.setattr(clean, "LIBVIRT_LOGS", logs)
    clean.remove_logs(settings)
    logs.mkdir()
    ours = {f"cernvmunit-m-abcdefgh2347.log{end}" for end in ("", ".0", ".12")}
    others = {
        "debian.log",
        "cernvmunit2-m-abcdefgh2347.log",
        "my-cernvmunit-m-abcdefgh2347.log",
        "cernvmunit-m-abcdefgh2347.log.old",
        "cernvmunit-m-abcdefgh234.log",
        "cernvmunit-m-ABCDEFGH2347.log",
    }
    for name in ours | others:
        (logs / name).touch()
    clean.remove_logs(settings)
    assert {path.name for path in logs.iterdir()} == others


def test_packages_that_cannot_be_installed_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(debian, "prefix", lambda: None)
    monkeypatch.setattr(debian, "missing", lambda _packages: ["qemu-system-x86"])
    with pytest.raises(debian.Missing, match=r"qemu-system-x86(.|\n)*apt-get.*install"):
        debian.ensure("system-packages.txt")


def test_what_is_installed_is_not_missing() -> None:
    assert debian.missing(["dpkg", "no-such-package-of-debian"]) == ["no-such-package-of-debian"]


def test_what_the_controller_complains_of_is_found_in_its_log(settings: Settings) -> None:
    supervisor = supervision.Supervisor(settings)
    assert supervisor.complaint("controller") == ""
    supervisor.settings.log.mkdir(parents=True)
    (supervisor.settings.log / "controller.log").write_text(
        "2026-01-01T00:00:00Z [warning  ] host does not answer [inventory] host=local reason='no bus'\n"
        "2026-01-01T00:00:01Z [info     ] listening [server] port=1\n"
    )
    assert supervisor.complaint("controller") == "host does not answer [inventory] host=local reason='no bus'"


def test_a_full_disk_at_the_start_is_said_in_a_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_settings: Settings) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(settings.accounts))

    monkeypatch.setattr(run, "refuse_taken_ports", lambda _settings: None)
    monkeypatch.setattr(run, "prepare", full)
    with pytest.raises(run.CannotRun, match=r"accounts\.json: No space left on device\. Make room there"):
        run.run(settings)


def test_damaged_settings_of_a_state_say_what_belongs_there(settings: Settings) -> None:
    (settings.state / "settings.json").write_text('{"PORT": "28')
    with pytest.raises(SettingsError, match=r"settings\.json is damaged: restore it"):
        Settings.from_environment({"STATE": str(settings.state)})


@pytest.mark.parametrize("name", component.COMPONENTS)
def test_every_port_is_looked_at_again_when_its_component_starts(settings: Settings, name: str) -> None:
    local = dataclasses.replace(settings, subnet=IPv4Network("127.3.0.0/24"))  # the gateway is this machine's
    for address, port in component.ports(name, local):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((address, port))
            other.listen()
            assert f"Port {port} on {address} is taken" in component.taken(name, local)
        assert component.taken(name, local) == ""


def test_no_component_writes_its_memory_to_a_file(settings: Settings) -> None:
    """The limit is taken by what the process becomes, and by all that this starts."""
    show = "import os, resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    become = (
        "import os, resource, sys; from deployment import component;"
        "component.wait = lambda needs: None;"
        f"component.hub = lambda settings: component.Command([sys.executable, '-c', {show!r}]);"
        "sys.argv = ['component', 'hub']; component.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", become],
        cwd=ROOT,
        env=os.environ | settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "(0, 0)\n", done.stderr
