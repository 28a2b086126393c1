"""Secrets and accounts: made once, private, and never on a command line."""

from __future__ import annotations

import dataclasses
import json
import ssl
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from deployment import certificates, component, credentials, run
from deployment.settings import ROOT, Settings, SettingsError

from cernvmcontroller.statedir import StateError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"STATE": str(tmp_path / "state"), "PORT": "9000"})


def test_there_is_one_user_and_one_administrator(settings: Settings) -> None:
    made = credentials.ensure(settings)
    assert json.loads(settings.accounts.read_text()) == made
    assert made["url"] == "http://127.0.0.1:9000/"
    assert [(account["name"], account["admin"]) for account in made["accounts"]] == [
        ("physicist", False),
        ("admin", True),
    ]


def test_passwords_are_long_enough_for_the_authenticator(settings: Settings) -> None:
    user, admin = credentials.ensure(settings)["accounts"]
    assert len(user["password"]) >= 12
    assert len(admin["password"]) >= 32


def test_only_their_owner_reads_them(settings: Settings) -> None:
    credentials.ensure(settings)
    private = [settings.accounts, *(settings.secret(name) for name in credentials.SECRETS)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE(settings.state.stat().st_mode) == 0o700


def test_they_stay_as_they_are(settings: Settings) -> None:
    first = credentials.ensure(settings)
    tokens = [settings.secret(name).read_text() for name in credentials.SECRETS]
    assert credentials.ensure(settings) == first
    assert [settings.secret(name).read_text() for name in credentials.SECRETS] == tokens


@pytest.mark.parametrize("name", component.COMPONENTS)
def test_no_secret_is_in_the_arguments_of_a_process(settings: Settings, name: str) -> None:
    credentials.ensure(settings)
    command = getattr(component, name)(settings)
    secrets = [settings.secret(secret).read_text() for secret in credentials.SECRETS]
    shown = " ".join(command.arguments) + repr(command)
    assert not [secret for secret in secrets if secret in shown]


def test_a_component_does_not_inherit_the_secrets_of_the_terminal(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "hidden")
    assert "hidden" not in component.environment(settings, component.Command([])).values()


def test_all_three_are_told_of_a_domain(settings: Settings) -> None:
    credentials.ensure(settings)
    given = dataclasses.replace(settings, subdomain_host="https://hub.example.org")
    assert "--host-routing" in component.proxy(given).arguments
    assert "--host-routing" not in component.proxy(settings).arguments
    told = component.controller(given).environment
    assert told["JUPYTERHUB_HOST"] == "https://hub.example.org"
    callback = "https://cernvm--service.hub.example.org/services/cernvm/oauth_callback"
    assert told["JUPYTERHUB_OAUTH_CALLBACK_URL"] == callback
    alone = component.controller(settings).environment
    assert alone["JUPYTERHUB_OAUTH_CALLBACK_URL"] == "/services/cernvm/oauth_callback"
    assert component.environment(given, component.hub(given))["SUBDOMAIN_HOST"] == "https://hub.example.org"


def test_certificates_are_made_before_the_hub_starts(settings: Settings) -> None:
    credentials.ensure(settings)
    certificates.ensure(settings)
    own = certificates.service(settings)
    api = certificates.pair(settings, "proxy-api", "proxy-api-ca")
    files = [own.key, own.certificate, own.trust, api.key, api.certificate, api.trust]
    assert all(file.exists() for file in files)
    made = own.certificate.read_bytes()
    certificates.ensure(settings)
    assert own.certificate.read_bytes() == made
    # Killed in the middle of a first start: the last file is half written.
    (settings.certificates / certificates.FINISHED).unlink()
    own.certificate.write_bytes(made[: len(made) // 2])
    certificates.ensure(settings)
    ssl.create_default_context().load_cert_chain(own.certificate, own.key)
    # Once finished they are never thrown away: machines were given some of them.
    again = api.certificate.read_bytes()
    own.key.unlink()
    certificates.ensure(settings)
    assert api.certificate.read_bytes() == again


def test_certificates_that_cannot_be_made_are_said_with_the_reason(
    settings: Settings, tmp_path: Path
) -> None:
    settings.state.mkdir()
    broken = tmp_path / "broken_config.py"
    broken.write_text("raise RuntimeError('this site is not ready')\n")
    with pytest.raises(SettingsError, match=r"cannot make its certificates(.|\n)*this site is not ready"):
        certificates.ensure(dataclasses.replace(settings, hub_config=broken))


def test_passwords_are_printed_where_they_let_somebody_in(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    accounts = credentials.ensure(settings)
    run.announce(settings, accounts)
    said = capsys.readouterr().out
    assert all(account["password"] in said for account in accounts["accounts"])
    own = tmp_path / "own_config.py"
    load = f"load_subconfig({str(settings.hub_config)!r})\n"
    for text in (
        f"{load}c.JupyterHub.authenticator_class = 'pam'\n",
        f"{load}c.SharedPasswordAuthenticator.user_password = 'another-password'\n",
        "raise RuntimeError('the hub says what is wrong')\n",
    ):
        own.write_text(text)
        run.announce(dataclasses.replace(settings, hub_config=own), accounts)
        said = capsys.readouterr().out
        assert f"Who may log in is said in {own}." in said
        assert not [account for account in accounts["accounts"] if account["password"] in said], text


@pytest.mark.parametrize("name", ["accounts.json", *credentials.SECRETS])
def test_a_secret_that_others_may_read_is_refused_with_the_way_out(settings: Settings, name: str) -> None:
    credentials.ensure(settings)
    (settings.state / name).chmod(0o644)
    with pytest.raises(StateError, match=rf"{name}, which holds secrets: chmod go-rwx"):
        credentials.ensure(settings)
    (settings.state / name).chmod(0o600)
    credentials.ensure(settings)


def test_a_state_that_others_may_look_into_or_that_is_anothers_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials.ensure(settings)
    settings.state.chmod(0o755)
    with pytest.raises(StateError, match="chmod go-rwx"):
        credentials.ensure(settings)
    settings.state.chmod(0o700)
    monkeypatch.setattr("cernvmcontroller.statedir.os.geteuid", lambda: 65534)
    with pytest.raises(StateError, match=r"belongs to .* run as that account"):
        credentials.ensure(settings)


@pytest.mark.parametrize("moment", ["open", "write", "fsync", "replace"])
def test_who_is_killed_while_files_are_written_first_leaves_what_the_next_run_repairs(
    settings: Settings, moment: str
) -> None:
    """Kill a process at the n-th such call, for every n, and run again each time."""
    program = """
import os, sys
from pathlib import Path
from deployment import credentials
from deployment.settings import Settings
moment, left = sys.argv[1], int(sys.argv[2])
def killed(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            if moment == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            os._exit(9)
        return real(*args, **kwargs)
    return call
if moment == "replace":
    Path.replace = killed(Path.replace)
elif moment == "write":
    fdopen = os.fdopen
    class Half:
        def __init__(self, file): self.file = file
        def __enter__(self): return self
        def __exit__(self, *error): self.file.close()
        def flush(self): self.file.flush()
        def write(self, text): return killed_write(self.file, text)
    def real_write(file, text):
        done = file.write(text); file.flush(); return done
    killed_write = killed(real_write)
    os.fdopen = lambda *args: Half(fdopen(*args))
else:
    setattr(os, moment, killed(getattr(os, moment)))
settings = Settings.from_environment()
credentials.ensure(settings)
settings.remember()
"""
    environment = {"STATE": str(settings.state), "PORT": "9000", "PATH": "/usr/bin", "PYTHONPATH": str(ROOT)}
    code, after = 9, -1
    while code == 9:
        after += 1
        done = subprocess.run(
            [sys.executable, "-c", program, moment, str(after)],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        code = done.returncode
        assert code in {0, 9}, done.stderr
        assert after < 30
    assert after >= 3, "it was killed at several files"
    first = credentials.ensure(settings)
    assert len(first["accounts"]) == 2
    assert Settings.from_environment({"STATE": str(settings.state)}).port == 9000
